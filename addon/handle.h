// The life of a libuv handle that a JavaScript object owns: alive while open, closed by close() or when its
// environment ends (a worker too), collected afterwards. The base of the classes in stream.cc and vsock.cc.
#pragma once

#include <memory>

#include <napi.h>
#include <uv.h>

namespace cpu {

// Self is the wrapped class, UvHandle the libuv handle it has. Self calls uv_..._init and then Opened().
template <typename Self, typename UvHandle>
class Handle : public Napi::ObjectWrap<Self> {
 public:
  explicit Handle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Self>(info) {}

 protected:
  uv_loop_t* Loop() {
    uv_loop_t* loop = nullptr;
    napi_get_uv_event_loop(this->Env(), &loop);
    return loop;
  }

  // From here on the object stays alive until the handle is closed. `on_closed` may be missing.
  void Opened(const char* resource_name, Napi::Function on_closed = {}) {
    uv_.data = static_cast<Self*>(this);
    open_ = true;
    this->Ref();
    if (!on_closed.IsEmpty()) on_closed_ = Napi::Persistent(on_closed);
    context_ = std::make_unique<Napi::AsyncContext>(this->Env(), resource_name, this->Value());
    napi_add_async_cleanup_hook(this->Env(), OnEnvironmentEnd, this, &hook_);
  }

  bool IsOpen() const { return open_; }

  uv_handle_t* AsHandle() { return reinterpret_cast<uv_handle_t*>(&uv_); }

  // Idempotent. What belongs to Self is given up in Self::OnClosing (now) and Self::OnClosed (later).
  void CloseHandle() {
    if (!open_) return;
    open_ = false;
    uv_close(AsHandle(), [](uv_handle_t* handle) {
      static_cast<Handle*>(static_cast<Self*>(handle->data))->Closed();
    });
    static_cast<Self*>(this)->OnClosing();
  }

  // Calls JavaScript from the event loop, with its ticks and promises; what it throws is an uncaught
  // exception.
  void Call(const Napi::FunctionReference& callback, int argument) {
    if (environment_ended_ || callback.IsEmpty()) return;
    Napi::Env env = this->Env();
    Napi::HandleScope scope(env);
    napi_value argv[] = {Napi::Number::New(env, argument)};
    napi_make_callback(env, *context_, this->Value(), callback.Value(), 1, argv, nullptr);
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    if (!pending) return;
    napi_value exception = nullptr;
    napi_get_and_clear_last_exception(env, &exception);
    napi_fatal_exception(env, exception);
  }

  // Whether an open handle keeps the event loop running.
  void KeepLoopAlive(bool alive) {
    if (open_) (alive ? uv_ref : uv_unref)(AsHandle());
  }

  UvHandle uv_;

 private:
  static void OnEnvironmentEnd(napi_async_cleanup_hook_handle, void* data) {
    Handle* self = static_cast<Handle*>(data);
    self->environment_ended_ = true;
    self->CloseHandle();
  }

  void Closed() {
    Napi::HandleScope scope(this->Env());
    static_cast<Self*>(this)->OnClosed();
    Call(on_closed_, 0);
    on_closed_.Reset();
    context_.reset();
    // In an ending environment this also tells Node that it need not wait any longer.
    napi_remove_async_cleanup_hook(hook_);
    this->Unref();
  }

  bool open_ = false;
  bool environment_ended_ = false;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  std::unique_ptr<Napi::AsyncContext> context_;
  Napi::FunctionReference on_closed_;
};

}  // namespace cpu
