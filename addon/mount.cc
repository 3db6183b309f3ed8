// mount(2), umount2(2) and chroot(2) in this process: for PID 1's own mounts. A session's mounts are
// made by program.h.
#include <sys/mount.h>
#include <unistd.h>

#include <string>

#include "errors.h"
#include "families.h"

namespace cpu {
namespace {

std::string Text(Napi::Value value) { return value.As<Napi::String>().Utf8Value(); }

// mount(source, target, type, flags, data): 0 or a negative errno. Empty type and data are passed as null.
Napi::Value Mount(const Napi::CallbackInfo& info) {
  std::string source = Text(info[0]), target = Text(info[1]), type = Text(info[2]), data = Text(info[4]);
  unsigned long flags = info[3].As<Napi::Number>().Uint32Value();
  int result = mount(source.c_str(), target.c_str(), type.empty() ? nullptr : type.c_str(), flags,
                     data.empty() ? nullptr : data.c_str());
  return Napi::Number::New(info.Env(), OrErrno(result));
}

// unmount(target, flags): 0 or a negative errno.
Napi::Value Unmount(const Napi::CallbackInfo& info) {
  int flags = info[1].As<Napi::Number>().Int32Value();
  return Napi::Number::New(info.Env(), OrErrno(umount2(Text(info[0]).c_str(), flags)));
}

// changeRoot(path): 0 or a negative errno. Of all threads, which share what chroot(2) changes.
Napi::Value ChangeRoot(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), OrErrno(chroot(Text(info[0]).c_str())));
}

}  // namespace

void InitMount(Napi::Env env, Napi::Object exports) {
  exports.Set("mount", Napi::Function::New(env, Mount));
  exports.Set("unmount", Napi::Function::New(env, Unmount));
  exports.Set("changeRoot", Napi::Function::New(env, ChangeRoot));
}

}  // namespace cpu
