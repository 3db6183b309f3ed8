// Byte streams over any descriptor that libuv can poll (AF_VSOCK and unix sockets, pipes, pty masters), and
// the calls that make such descriptors. libuv looks at the family only where it makes sockets itself:
// reading, writing, half-close and polling of an opened uv_pipe_t work on all of them.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "errors.h"
#include "families.h"
#include "handle.h"

namespace cpu {
namespace {

class Stream : public Handle<Stream, uv_pipe_t> {
 public:
  using Handle::Handle;

  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Stream",
                       {
                           InstanceMethod<&Stream::Open>("open"),
                           InstanceMethod<&Stream::SetReadBuffer>("setReadBuffer"),
                           InstanceMethod<&Stream::ReadStart>("readStart"),
                           InstanceMethod<&Stream::ReadStop>("readStop"),
                           InstanceMethod<&Stream::Write>("write"),
                           InstanceMethod<&Stream::Shutdown>("shutdown"),
                           InstanceMethod<&Stream::Close>("close"),
                           InstanceMethod<&Stream::KeepAlive>("keepAlive"),
                       });
  }

  void OnClosing() {}

  void OnClosed() {
    on_read_.Reset();
    on_written_.Reset();
    on_shutdown_.Reset();
    read_buffer_.Reset();
    pending_write_.Reset();
  }

 private:
  // open(fd, onRead, onWritten, onShutdown, onClosed). On failure the descriptor stays the caller's.
  Napi::Value Open(const Napi::CallbackInfo& info) {
    const int fd = info[0].As<Napi::Number>().Int32Value();
    uv_pipe_init(Loop(), &uv_, 0);
    Opened("FdStream", info[4].As<Napi::Function>());
    const int result = uv_pipe_open(&uv_, fd);
    if (result < 0) {
      CloseHandle();
      return Napi::Number::New(info.Env(), result);
    }
    int number = 0;
    is_pty_master_ = ioctl(fd, TIOCGPTN, &number) == 0;
    on_read_ = Napi::Persistent(info[1].As<Napi::Function>());
    on_written_ = Napi::Persistent(info[2].As<Napi::Function>());
    on_shutdown_ = Napi::Persistent(info[3].As<Napi::Function>());
    return Napi::Number::New(info.Env(), 0);
  }

  // The memory that reads go to, until the next call. onRead learns how much of it was filled.
  Napi::Value SetReadBuffer(const Napi::CallbackInfo& info) {
    auto buffer = info[0].As<Napi::Uint8Array>();
    read_buffer_ = Napi::Persistent(buffer.As<Napi::Object>());
    read_target_ = uv_buf_init(reinterpret_cast<char*>(buffer.Data()), buffer.ByteLength());
    return info.Env().Undefined();
  }

  Napi::Value ReadStart(const Napi::CallbackInfo& info) {
    const int result = IsOpen() ? uv_read_start(AsStream(), OnAllocate, OnRead) : UV_EBADF;
    return Napi::Number::New(info.Env(), result);
  }

  Napi::Value ReadStop(const Napi::CallbackInfo& info) {
    if (IsOpen()) uv_read_stop(AsStream());
    return info.Env().Undefined();
  }

  static void OnAllocate(uv_handle_t* handle, size_t, uv_buf_t* buffer) {
    *buffer = static_cast<Stream*>(handle->data)->read_target_;
  }

  // onRead gets the number of bytes, 0 at the end, or a negative errno.
  static void OnRead(uv_stream_t* handle, ssize_t result, const uv_buf_t* buffer) {
    auto* self = static_cast<Stream*>(handle->data);
    if (result == 0) return;  // EAGAIN
    if (result == UV_EOF && buffer->base == nullptr) self->Drain();
    const bool end = result == UV_EOF || (result == UV_EIO && self->is_pty_master_);
    if (self->IsOpen()) self->Call(self->on_read_, end ? 0 : static_cast<int>(result));
  }

  // On a hang-up after a short read libuv takes the end for granted. A pty gives at most a page for each
  // read, so there may be more.
  void Drain() {
    uv_os_fd_t fd = -1;
    uv_fileno(AsHandle(), &fd);
    while (IsOpen()) {
      const ssize_t result = Retry([&] { return read(fd, read_target_.base, read_target_.len); });
      if (result <= 0) return;
      Call(on_read_, static_cast<int>(result));
    }
  }

  // write(bytes or array of bytes): 0 written, 1 onWritten will be called, or a negative errno.
  // One write at a time, as Writable does it.
  Napi::Value Write(const Napi::CallbackInfo& info) {
    if (!IsOpen()) return Napi::Number::New(info.Env(), UV_EBADF);
    std::vector<uv_buf_t> buffers = Buffers(info[0]);
    size_t first = 0;
    const int written = uv_try_write(AsStream(), buffers.data(), buffers.size());
    if (written < 0 && written != UV_EAGAIN) return Napi::Number::New(info.Env(), written);
    for (size_t rest = written < 0 ? 0 : written; first < buffers.size(); first++) {
      if (rest < buffers[first].len) {
        buffers[first].base += rest;
        buffers[first].len -= rest;
        break;
      }
      rest -= buffers[first].len;
    }
    if (first == buffers.size()) return Napi::Number::New(info.Env(), 0);
    const int result =
        uv_write(&write_, AsStream(), buffers.data() + first, buffers.size() - first, OnWritten);
    if (result < 0) return Napi::Number::New(info.Env(), result);
    pending_write_ = Napi::Persistent(info[0].As<Napi::Object>());
    return Napi::Number::New(info.Env(), 1);
  }

  static std::vector<uv_buf_t> Buffers(Napi::Value value) {
    const auto one = [](Napi::Value bytes) {
      auto array = bytes.As<Napi::Uint8Array>();
      return uv_buf_init(reinterpret_cast<char*>(array.Data()), array.ByteLength());
    };
    if (!value.IsArray()) return {one(value)};
    auto list = value.As<Napi::Array>();
    std::vector<uv_buf_t> buffers;
    buffers.reserve(list.Length());
    for (uint32_t i = 0; i < list.Length(); i++) buffers.push_back(one(list.Get(i)));
    return buffers;
  }

  static void OnWritten(uv_write_t* request, int status) {
    auto* self = static_cast<Stream*>(request->handle->data);
    self->pending_write_.Reset();
    self->Call(self->on_written_, status);
  }

  // Ends the writing side after what is being written; onShutdown gets 0 or a negative errno.
  Napi::Value Shutdown(const Napi::CallbackInfo& info) {
    const int result = IsOpen() ? uv_shutdown(&shutdown_, AsStream(), OnShutdown) : UV_EBADF;
    return Napi::Number::New(info.Env(), result);
  }

  static void OnShutdown(uv_shutdown_t* request, int status) {
    auto* self = static_cast<Stream*>(request->handle->data);
    self->Call(self->on_shutdown_, status);
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

  uv_stream_t* AsStream() { return reinterpret_cast<uv_stream_t*>(&uv_); }

  bool is_pty_master_ = false;
  uv_buf_t read_target_ = uv_buf_init(nullptr, 0);
  uv_write_t write_;
  uv_shutdown_t shutdown_;
  Napi::ObjectReference read_buffer_;
  Napi::ObjectReference pending_write_;
  Napi::FunctionReference on_read_;
  Napi::FunctionReference on_written_;
  Napi::FunctionReference on_shutdown_;
};

// Stores the descriptors in the Int32Array and returns the result.
Napi::Value StorePair(const Napi::CallbackInfo& info, int result, const int (&pair)[2]) {
  auto out = info[0].As<Napi::Int32Array>();
  out[0] = pair[0];
  out[1] = pair[1];
  return Napi::Number::New(info.Env(), OrErrno(result));
}

// socketPair(out): out[0] does not block, out[1] does.
Napi::Value SocketPair(const Napi::CallbackInfo& info) {
  int pair[2] = {-1, -1};
  const int result = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
  if (result == 0) fcntl(pair[0], F_SETFL, O_RDWR | O_NONBLOCK);
  return StorePair(info, result, pair);
}

// connectUnix(path): a connected socket that does not block. A server of this machine answers at once, or not at all.
Napi::Value ConnectUnix(const Napi::CallbackInfo& info) {
  const std::string path = info[0].As<Napi::String>();
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Napi::Number::New(info.Env(), -ENAMETOOLONG);
  memcpy(address.sun_path, path.data(), path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd >= 0 && connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) {
    const int error = errno;
    close(fd);
    return Napi::Number::New(info.Env(), -error);
  }
  return Napi::Number::New(info.Env(), OrErrno(fd));
}

// pipe(out, readNonblocking, writeNonblocking): out[0] is the end to read from.
Napi::Value Pipe(const Napi::CallbackInfo& info) {
  int pair[2] = {-1, -1};
  const int result = pipe2(pair, O_CLOEXEC);
  if (result == 0 && info[1].As<Napi::Boolean>()) fcntl(pair[0], F_SETFL, O_RDONLY | O_NONBLOCK);
  if (result == 0 && info[2].As<Napi::Boolean>()) fcntl(pair[1], F_SETFL, O_WRONLY | O_NONBLOCK);
  return StorePair(info, result, pair);
}

// Not repeated on EINTR: Linux has released the descriptor by then.
Napi::Value DuplicateFd(const Napi::CallbackInfo& info) {
  const int fd = info[0].As<Napi::Number>().Int32Value();
  return Napi::Number::New(info.Env(), OrErrno(fcntl(fd, F_DUPFD_CLOEXEC, 3)));
}

// shutdownFd(fd): both directions, for every descriptor of this socket.
Napi::Value ShutdownFd(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), OrErrno(shutdown(info[0].As<Napi::Number>().Int32Value(), SHUT_RDWR)));
}

// closeFd(fd)
Napi::Value CloseFd(const Napi::CallbackInfo& info) {
  const int result = close(info[0].As<Napi::Number>().Int32Value());
  return Napi::Number::New(info.Env(), result < 0 && errno != EINTR ? -errno : 0);
}

}  // namespace

void InitStream(Napi::Env env, Napi::Object exports) {
  exports.Set("Stream", Stream::Define(env));
  exports.Set("socketPair", Napi::Function::New<SocketPair>(env, "socketPair"));
  exports.Set("connectUnix", Napi::Function::New<ConnectUnix>(env, "connectUnix"));
  exports.Set("pipe", Napi::Function::New<Pipe>(env, "pipe"));
  exports.Set("duplicateFd", Napi::Function::New<DuplicateFd>(env, "duplicateFd"));
  exports.Set("shutdownFd", Napi::Function::New<ShutdownFd>(env, "shutdownFd"));
  exports.Set("closeFd", Napi::Function::New<CloseFd>(env, "closeFd"));
}

}  // namespace cpu
