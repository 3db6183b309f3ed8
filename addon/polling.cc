// Keeps the event loop awake for a moment: it looks for events again and again instead of sleeping until one comes.
// Nothing waits for that; it is an idle handle, with which libuv polls without a time limit's wait.
#include <sys/resource.h>

#include "families.h"
#include "handle.h"

namespace cpu {
namespace {

// How often this thread had to leave its processor to another.
long TimesPreempted() {
  struct rusage usage;
  return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nivcsw : 0;
}

class Polling : public Handle<Polling, uv_idle_t> {
 public:
  explicit Polling(const Napi::CallbackInfo& info) : Handle(info) {
    uv_idle_init(Loop(), &uv_);
    Opened("Polling");
  }

  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Polling",
                       {
                           InstanceMethod<&Polling::Start>("start"),
                           InstanceMethod<&Polling::Stop>("stop"),
                           InstanceMethod<&Polling::Close>("close"),
                       });
  }

  void OnClosing() {}
  void OnClosed() {}

 private:
  // start(microseconds)
  Napi::Value Start(const Napi::CallbackInfo& info) {
    end_ = uv_hrtime() + uint64_t{1000} * info[0].As<Napi::Number>().Uint32Value();
    times_preempted_ = TimesPreempted();
    if (IsOpen()) uv_idle_start(&uv_, OnIdle);
    return info.Env().Undefined();
  }

  // stop(): whether its time was not over, and nobody else wanted the processor meanwhile
  Napi::Value Stop(const Napi::CallbackInfo& info) {
    const bool was_active = uv_is_active(AsHandle()) != 0;
    uv_idle_stop(&uv_);
    return Napi::Boolean::New(info.Env(), was_active && TimesPreempted() == times_preempted_);
  }

  Napi::Value Close(const Napi::CallbackInfo& info) {
    CloseHandle();
    return info.Env().Undefined();
  }

  static void OnIdle(uv_idle_t* handle) {
    if (uv_hrtime() >= static_cast<Polling*>(handle->data)->end_) uv_idle_stop(handle);
  }

  uint64_t end_ = 0;
  long times_preempted_ = 0;
};

}  // namespace

void InitPolling(Napi::Env env, Napi::Object exports) { exports.Set("Polling", Polling::Define(env)); }

}  // namespace cpu
