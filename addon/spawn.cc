// Starts the supervisor of a session (supervisor.cc) and watches descriptors for src/native/spawn.ts: its
// control socket and its pidfd.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include <uv.h>

#include "errors.h"
#include "families.h"
#include "supervisor.h"

namespace cpu {
namespace {

// ---- The request, from JavaScript's form (NativeSpawnRequest in src/native/spawn-binding.ts).

int32_t Int(Napi::Value value) { return value.As<Napi::Number>().Int32Value(); }
uint32_t Uint(Napi::Value value) { return value.As<Napi::Number>().Uint32Value(); }

std::string Bytes(Napi::Value value) {
  auto buffer = value.As<Napi::Buffer<char>>();
  return std::string(buffer.Data(), buffer.Length());
}

std::vector<std::string> ByteStrings(Napi::Value value) {
  auto array = value.As<Napi::Array>();
  std::vector<std::string> strings;
  strings.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); i++) strings.push_back(Bytes(array.Get(i)));
  return strings;
}

std::vector<Step> Steps(Napi::Value value) {
  auto array = value.As<Napi::Array>();
  std::vector<Step> steps;
  for (uint32_t i = 0; i < array.Length(); i++) {
    auto step = array.Get(i).As<Napi::Object>();
    steps.push_back({static_cast<Op>(Int(step.Get("op"))), static_cast<OnFailure>(Int(step.Get("onFailure"))),
                     Bytes(step.Get("source")), Bytes(step.Get("target")), Bytes(step.Get("type")),
                     Bytes(step.Get("data")), Uint(step.Get("flags")), Uint(step.Get("mode")),
                     Uint(step.Get("next")), step.Get("mountsConnection").ToBoolean()});
  }
  return steps;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Fills in what points into the request itself, so the request must not move any more.
void PointInto(SpawnRequest& request) {
  static char shell[] = "/bin/sh";
  request.argv = Pointers(request.arguments);
  request.envp = Pointers(request.environment);
  request.shell_argv = {shell, nullptr};
  request.shell_argv.insert(request.shell_argv.end(), request.argv.begin() + 1, request.argv.end());
}

std::unique_ptr<SpawnRequest> ReadRequest(Napi::Object from) {
  auto request = std::make_unique<SpawnRequest>();
  request->steps = Steps(from.Get("steps"));
  request->mount_namespace = from.Get("mountNamespace").ToBoolean();
  request->user_namespace = from.Get("userNamespace").ToBoolean();
  Napi::Value fuse_device = from.Get("fuseDevice");
  if (fuse_device.IsBuffer()) request->fuse_device = Bytes(fuse_device);
  request->file_connection = Int(from.Get("fileConnectionFd"));
  auto stdio = from.Get("stdio").As<Napi::Array>();
  for (uint32_t i = 0; i < 3; i++) request->stdio[i] = Int(stdio.Get(i));
  request->controlling_terminal = from.Get("controllingTerminal").ToBoolean();
  Napi::Value credentials = from.Get("credentials");
  if (credentials.IsObject()) {
    auto object = credentials.As<Napi::Object>();
    request->has_credentials = true;
    request->uid = Uint(object.Get("uid"));
    request->gid = Uint(object.Get("gid"));
    auto groups = object.Get("groups").As<Napi::Array>();
    for (uint32_t i = 0; i < groups.Length(); i++) request->groups.push_back(Uint(groups.Get(i)));
  }
  request->arguments = ByteStrings(from.Get("argv"));
  request->environment = ByteStrings(from.Get("env"));
  request->executables = ByteStrings(from.Get("executables"));
  request->directories = ByteStrings(from.Get("workingDirectories"));
  request->sync_path = Bytes(from.Get("syncPath"));
  PointInto(*request);
  return request;
}

// ---- Functions of the binding.

// spawnSupervisor(request, result): the supervisor's process id; result[0] becomes the control socket.
Napi::Value SpawnSupervisor(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto request = ReadRequest(info[0].As<Napi::Object>());
  auto result = info[1].As<Napi::Int32Array>();
  int control[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, control) < 0) {
    return Napi::Number::New(env, -errno);
  }
  // No handler of this process may run in the child.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t pid = OrErrno(RawFork());
  if (pid == 0) RunSupervisor(*request, control[1]);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  close(control[1]);
  if (pid < 0) {
    close(control[0]);
  } else {
    result[0] = control[0];
  }
  return Napi::Number::New(env, pid);
}

// receiveMessage(control, result): bytes received, 0 at the end of the connection. The result has the message,
// and then the descriptor that came with it, or -1.
Napi::Value ReceiveMessage(const Napi::CallbackInfo& info) {
  int fd = Int(info[0]);
  Message message = {};
  int descriptor = -1;
  alignas(cmsghdr) char ancillary[CMSG_SPACE(sizeof descriptor)];
  iovec data = {&message, sizeof message};
  msghdr header = {};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = ancillary;
  header.msg_controllen = sizeof ancillary;
  ssize_t length = OrErrno(Retry([&] { return recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC); }));
  cmsghdr* rights = length > 0 ? CMSG_FIRSTHDR(&header) : nullptr;
  if (rights != nullptr && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS) {
    memcpy(&descriptor, CMSG_DATA(rights), sizeof descriptor);
  }
  auto result = info[1].As<Napi::Int32Array>();
  const int32_t fields[] = {message.kind, message.value, message.index, message.error, descriptor};
  memcpy(result.Data(), fields, std::min(sizeof fields, result.ByteLength()));
  return Napi::Number::New(info.Env(), static_cast<double>(length));
}

// sendMessage(control, kind, value)
Napi::Value SendMessage(const Napi::CallbackInfo& info) {
  Message message = {Int(info[1]), Int(info[2]), -1, 0};
  int fd = Int(info[0]);
  ssize_t length = OrErrno(Retry([&] { return send(fd, &message, sizeof message, MSG_NOSIGNAL); }));
  return Napi::Number::New(info.Env(), static_cast<double>(length));
}

// openPidfd(pid)
Napi::Value OpenPidfd(const Napi::CallbackInfo& info) {
  long fd = -ENOSYS;
#ifdef SYS_pidfd_open
  fd = OrErrno(syscall(SYS_pidfd_open, Int(info[0]), 0));
#endif
  return Napi::Number::New(info.Env(), static_cast<double>(fd));
}

// reapProcess(pid): pid when it has ended and is reaped now, 0 while it lives. Never another process.
Napi::Value ReapProcess(const Napi::CallbackInfo& info) {
  int status;
  pid_t pid = Int(info[0]);
  pid_t reaped = OrErrno(Retry([&] { return waitpid(pid, &status, WNOHANG); }));
  return Napi::Number::New(info.Env(), reaped);
}

// endedChild(): the process id of a child that has ended and is not reaped yet, and stays so; 0 when there is none.
Napi::Value EndedChild(const Napi::CallbackInfo& info) {
  siginfo_t child = {};
  int result = OrErrno(waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT));
  return Napi::Number::New(info.Env(), result < 0 && result != -ECHILD ? result : child.si_pid);
}

// ---- Watching.

// A uv_poll handle on the environment's own loop. Lives from Start until libuv has closed it, at Close or at
// the end of the environment; the descriptor stays its owner's.
class Watch {
 public:
  // Returns 0 or a negative errno.
  static int Start(Napi::Env env, int fd, Napi::Function callback, std::shared_ptr<Watch>* result) {
    uv_loop_t* loop;
    if (napi_get_uv_event_loop(env, &loop) != napi_ok) return -EINVAL;
    auto watch = std::make_shared<Watch>(env, callback);
    int error = uv_poll_init(loop, &watch->poll_, fd);
    if (error != 0) return error;
    watch->self_ = watch;
    watch->poll_.data = watch.get();
    napi_add_async_cleanup_hook(env, OnEnvironmentEnd, watch.get(), &watch->hook_);
    *result = watch;
    return uv_poll_start(&watch->poll_, UV_READABLE | UV_DISCONNECT, OnReadable);
  }

  Watch(Napi::Env env, Napi::Function callback)
      : env_(env), callback_(Napi::Persistent(callback)), context_(std::in_place, env, "cpu:watch") {}

  void Close() {
    if (closing_) return;
    closing_ = true;
    uv_close(reinterpret_cast<uv_handle_t*>(&poll_), OnClosed);
  }

 private:
  static void OnReadable(uv_poll_t* poll, int, int) {
    auto watch = static_cast<Watch*>(poll->data);
    Napi::HandleScope scope(watch->env_);
    // Not through Napi::Function, which makes an error of its own of a failed call: in a worker that is being
    // terminated that is fatal.
    napi_status status = napi_make_callback(watch->env_, *watch->context_, watch->env_.Global(),
                                            watch->callback_.Value(), 0, nullptr, nullptr);
    napi_value exception;
    if (status == napi_pending_exception &&
        napi_get_and_clear_last_exception(watch->env_, &exception) == napi_ok) {
      napi_fatal_exception(watch->env_, exception);
    }
  }

  static void OnEnvironmentEnd(napi_async_cleanup_hook_handle, void* data) {
    static_cast<Watch*>(data)->Close();
  }

  static void OnClosed(uv_handle_t* handle) {
    auto watch = static_cast<Watch*>(handle->data);
    Napi::HandleScope scope(watch->env_);
    // What belongs to the environment goes now: the watch itself may be held by its closing function.
    watch->callback_.Reset();
    watch->context_.reset();
    napi_remove_async_cleanup_hook(watch->hook_);
    std::shared_ptr<Watch> last = std::move(watch->self_);
  }

  Napi::Env env_;
  Napi::FunctionReference callback_;
  std::optional<Napi::AsyncContext> context_;
  uv_poll_t poll_;
  napi_async_cleanup_hook_handle hook_ = nullptr;
  std::shared_ptr<Watch> self_;
  bool closing_ = false;
};

// watchReadable(fd, callback): a function that ends it, or a negative errno. The callback is called again and
// again while fd is readable or hung up.
Napi::Value WatchReadable(const Napi::CallbackInfo& info) {
  std::shared_ptr<Watch> watch;
  int error = Watch::Start(info.Env(), Int(info[0]), info[1].As<Napi::Function>(), &watch);
  if (error != 0 && watch) watch->Close();
  if (error != 0) return Napi::Number::New(info.Env(), error);
  return Napi::Function::New(info.Env(), [watch](const Napi::CallbackInfo&) { watch->Close(); });
}

}  // namespace

void InitSpawn(Napi::Env env, Napi::Object exports) {
  exports.Set("spawnSupervisor", Napi::Function::New(env, SpawnSupervisor));
  exports.Set("receiveMessage", Napi::Function::New(env, ReceiveMessage));
  exports.Set("sendMessage", Napi::Function::New(env, SendMessage));
  exports.Set("openPidfd", Napi::Function::New(env, OpenPidfd));
  exports.Set("reapProcess", Napi::Function::New(env, ReapProcess));
  exports.Set("endedChild", Napi::Function::New(env, EndedChild));
  exports.Set("watchReadable", Napi::Function::New(env, WatchReadable));
}

}  // namespace cpu
