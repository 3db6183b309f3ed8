// AF_VSOCK sockets (vsock(7), linux/vm_sockets.h) and readiness of the descriptors that libuv has no stream
// for yet: sockets that connect or listen, ports that nobody has connected to.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
// Older ones do not name what they need of sys/socket.h.
#include <linux/vm_sockets.h>
#include <sys/time.h>
#include <unistd.h>

#include "errors.h"
#include "families.h"
#include "handle.h"

namespace cpu {
namespace {

// Owns its descriptor until release().
class Poll : public Handle<Poll, uv_poll_t> {
 public:
  using Handle::Handle;

  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Poll",
                       {
                           InstanceMethod<&Poll::Open>("open"),
                           InstanceMethod<&Poll::Start>("start"),
                           InstanceMethod<&Poll::Stop>("stop"),
                           InstanceMethod<&Poll::Release>("release"),
                           InstanceMethod<&Poll::Close>("close"),
                           InstanceMethod<&Poll::KeepAlive>("keepAlive"),
                       });
  }

  // uv_close has taken the descriptor out of epoll already.
  void OnClosing() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

  void OnClosed() { on_ready_.Reset(); }

 private:
  // open(fd, onReady, onClosed). On failure the descriptor stays the caller's.
  Napi::Value Open(const Napi::CallbackInfo& info) {
    const int fd = info[0].As<Napi::Number>().Int32Value();
    const int result = uv_poll_init(Loop(), &uv_, fd);
    if (result == 0) {
      fd_ = fd;
      on_ready_ = Napi::Persistent(info[1].As<Napi::Function>());
      Opened("VsockPoll", info[2].As<Napi::Function>());
    }
    return Napi::Number::New(info.Env(), result);
  }

  // start(writable): onReady is called each time the descriptor is readable, or writable, or has an error.
  Napi::Value Start(const Napi::CallbackInfo& info) {
    const int events = info[0].As<Napi::Boolean>() ? UV_WRITABLE : UV_READABLE;
    const int result = IsOpen() ? uv_poll_start(&uv_, events, OnReady) : UV_EBADF;
    return Napi::Number::New(info.Env(), result);
  }

  Napi::Value Stop(const Napi::CallbackInfo& info) {
    if (IsOpen()) uv_poll_stop(&uv_);
    return info.Env().Undefined();
  }

  // Closes the handle and gives the descriptor to the caller.
  Napi::Value Release(const Napi::CallbackInfo& info) {
    const int fd = fd_;
    fd_ = -1;
    CloseHandle();
    return Napi::Number::New(info.Env(), fd);
  }

  Napi::Value Close(const Napi::CallbackInfo& info) {
    CloseHandle();
    return info.Env().Undefined();
  }

  // keepAlive(alive)
  Napi::Value KeepAlive(const Napi::CallbackInfo& info) {
    KeepLoopAlive(info[0].As<Napi::Boolean>());
    return info.Env().Undefined();
  }

  static void OnReady(uv_poll_t* handle, int status, int) {
    auto* self = static_cast<Poll*>(handle->data);
    self->Call(self->on_ready_, status);
  }

  int fd_ = -1;
  Napi::FunctionReference on_ready_;
};

// epollCreate(): a descriptor that is readable while epollTake has something to tell.
Napi::Value EpollCreate(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), OrErrno(epoll_create1(EPOLL_CLOEXEC)));
}

// epollAddEdges(epoll, fd): changes of fd are told once each, and its present state at first.
Napi::Value EpollAddEdges(const Napi::CallbackInfo& info) {
  epoll_event event = {};
  event.events = EPOLLET | EPOLLIN | EPOLLOUT;
  const int epoll = info[0].As<Napi::Number>().Int32Value();
  const int fd = info[1].As<Napi::Number>().Int32Value();
  return Napi::Number::New(info.Env(), OrErrno(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)));
}

// epollTake(epoll): the events of its descriptor that have not been told, 0 for none.
Napi::Value EpollTake(const Napi::CallbackInfo& info) {
  epoll_event event = {};
  const int result = Retry([&] { return epoll_wait(info[0].As<Napi::Number>().Int32Value(), &event, 1, 0); });
  return Napi::Number::New(info.Env(), result > 0 ? static_cast<int>(event.events) : OrErrno(result));
}

sockaddr_vm Address(Napi::Value cid, Napi::Value port) {
  sockaddr_vm address = {};
  address.svm_family = AF_VSOCK;
  address.svm_cid = cid.As<Napi::Number>().Uint32Value();
  address.svm_port = port.As<Napi::Number>().Uint32Value();
  return address;
}

// With room for so many bytes that nobody has read yet, which sockets that it accepts inherit; 0: the kernel's 256 KiB.
int NewSocket(Napi::Value buffer_bytes) {
  const int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const uint64_t size = buffer_bytes.As<Napi::Number>().Uint32Value();
  if (fd < 0 || size == 0) return fd;
  setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_MAX_SIZE, &size, sizeof(size));
  setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &size, sizeof(size));
  return fd;
}

// The descriptor if the call on it succeeded; else -errno, and the descriptor is closed.
Napi::Value FdOrErrno(Napi::Env env, int fd, int result) {
  const int error = errno;
  if (result < 0) close(fd);
  return Napi::Number::New(env, result < 0 ? -error : fd);
}

// vsockConnect(cid, port, timeoutMs, bufferBytes): a descriptor on which the connection is being made; 0 ms is the
// kernel's own limit (2 s).
Napi::Value Connect(const Napi::CallbackInfo& info) {
  const int fd = NewSocket(info[3]);
  if (fd < 0) return Napi::Number::New(info.Env(), -errno);
  const uint32_t timeout_ms = info[2].As<Napi::Number>().Uint32Value();
  const timeval timeout = {timeout_ms / 1000, (timeout_ms % 1000) * 1000};
  if (timeout_ms > 0) {
    setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &timeout, sizeof(timeout));
  }
  const sockaddr_vm address = Address(info[0], info[1]);
  const int result = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  return FdOrErrno(info.Env(), fd, result < 0 && errno == EINPROGRESS ? 0 : result);
}

// vsockConnectResult(fd): what has become of the connection, 0 or -errno.
Napi::Value ConnectResult(const Napi::CallbackInfo& info) {
  int error = 0;
  socklen_t length = sizeof(error);
  const int fd = info[0].As<Napi::Number>().Int32Value();
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) error = errno;
  return Napi::Number::New(info.Env(), -error);
}

// vsockListen(cid, port, backlog, bufferBytes): a listening descriptor.
Napi::Value Listen(const Napi::CallbackInfo& info) {
  const int fd = NewSocket(info[3]);
  if (fd < 0) return Napi::Number::New(info.Env(), -errno);
  const sockaddr_vm address = Address(info[0], info[1]);
  int result = bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  if (result == 0) result = listen(fd, info[2].As<Napi::Number>().Int32Value());
  return FdOrErrno(info.Env(), fd, result);
}

// vsockAccept(fd): a connected descriptor, or -EAGAIN.
Napi::Value Accept(const Napi::CallbackInfo& info) {
  const int fd = info[0].As<Napi::Number>().Int32Value();
  const int result = Retry([&] { return accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK); });
  return Napi::Number::New(info.Env(), OrErrno(result));
}

// vsockAddress(fd, peer, out): stores CID and port of this end, or of the peer, in the Uint32Array.
Napi::Value GetAddress(const Napi::CallbackInfo& info) {
  const int fd = info[0].As<Napi::Number>().Int32Value();
  sockaddr_vm address = {};
  socklen_t length = sizeof(address);
  const auto query = info[1].As<Napi::Boolean>() ? getpeername : getsockname;
  const int result = query(fd, reinterpret_cast<sockaddr*>(&address), &length);
  auto out = info[2].As<Napi::Uint32Array>();
  out[0] = address.svm_cid;
  out[1] = address.svm_port;
  return Napi::Number::New(info.Env(), OrErrno(result));
}

// vsockLocalCid(): this machine's CID (VMADDR_CID_ANY where no transport is loaded), or -errno.
Napi::Value LocalCid(const Napi::CallbackInfo& info) {
  const int fd = open("/dev/vsock", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Napi::Number::New(info.Env(), -errno);
  uint32_t cid = 0;
  const int result = OrErrno(ioctl(fd, IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid));
  close(fd);
  return result < 0 ? Napi::Number::New(info.Env(), result) : Napi::Number::New(info.Env(), cid);
}

// linux/vhost.h, which is not for C++ everywhere.
constexpr unsigned long kVhostVsockSetGuestCid = _IOW(0xAF, 0x60, uint64_t);

// vhostSetGuestCid(fd, cid): 0, or -EADDRINUSE where another guest has it. For a descriptor of /dev/vhost-vsock.
Napi::Value SetGuestCid(const Napi::CallbackInfo& info) {
  const int fd = info[0].As<Napi::Number>().Int32Value();
  const uint64_t cid = info[1].As<Napi::Number>().Uint32Value();
  return Napi::Number::New(info.Env(), OrErrno(ioctl(fd, kVhostVsockSetGuestCid, &cid)));
}

}  // namespace

void InitVsock(Napi::Env env, Napi::Object exports) {
  exports.Set("Poll", Poll::Define(env));
  exports.Set("epollCreate", Napi::Function::New<EpollCreate>(env, "epollCreate"));
  exports.Set("epollAddEdges", Napi::Function::New<EpollAddEdges>(env, "epollAddEdges"));
  exports.Set("epollTake", Napi::Function::New<EpollTake>(env, "epollTake"));
  exports.Set("vsockConnect", Napi::Function::New<Connect>(env, "vsockConnect"));
  exports.Set("vsockConnectResult", Napi::Function::New<ConnectResult>(env, "vsockConnectResult"));
  exports.Set("vsockListen", Napi::Function::New<Listen>(env, "vsockListen"));
  exports.Set("vsockAccept", Napi::Function::New<Accept>(env, "vsockAccept"));
  exports.Set("vsockAddress", Napi::Function::New<GetAddress>(env, "vsockAddress"));
  exports.Set("vhostSetGuestCid", Napi::Function::New<SetGuestCid>(env, "vhostSetGuestCid"));
  exports.Set("vsockLocalCid", Napi::Function::New<LocalCid>(env, "vsockLocalCid"));
}

}  // namespace cpu
