// The pump between /dev/fuse and the stream to the file server (FUSE.md): requests one way, replies and notifications
// the other, on threads of its own, without JavaScript. What comes from the server is checked for frame and length,
// since it goes into this kernel.
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "errors.h"
#include "families.h"
#include "handle.h"

namespace cpu {
namespace {

// The largest message either way: 1 MiB of data and what stands before it.
constexpr size_t kMaxMessage = (1 << 20) + 4096;
constexpr size_t kMaxNotification = 4096;
constexpr size_t kMaxQueuedNotifications = 64 << 20;
constexpr int kDrainIntervalMs = 20;
constexpr std::chrono::seconds kMaxDrain(1);
constexpr int kMountIntervalMs = 2;

bool HasReply(uint32_t opcode) {
  return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT;
}

bool IsExpected(const fuse_out_header& header) {
  if (header.len < sizeof header) return false;
  if (header.unique != 0) return header.len <= kMaxMessage;
  return header.len <= kMaxNotification &&
         (header.error == FUSE_NOTIFY_INVAL_INODE || header.error == FUSE_NOTIFY_INVAL_ENTRY);
}

// Shared by the three threads; the last of them closes the descriptors, which aborts the mount.
class Pump {
 public:
  Pump(int fuse, int stream) : fuse_(fuse), stream_(stream), stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    fcntl(fuse_, F_SETFL, fcntl(fuse_, F_GETFL) | O_NONBLOCK);
  }

  ~Pump() {
    close(fuse_);
    close(stream_);
    close(stop_);
  }

  void Stop() {
    uint64_t one = 1;
    if (write(stop_, &one, sizeof one) < 0) return;
  }

  // From the kernel to the server. Once the server is gone, answers in its place until it is unmounted or a second is
  // over: what lies there when the device is closed gets ECONNABORTED from the kernel, what comes later ENOTCONN.
  void ForwardRequests() {
    std::vector<char> buffer(2 * kMaxMessage);
    const auto never = std::chrono::steady_clock::time_point::max();
    auto deadline = never;
    for (;;) {
      pollfd watched[] = {{fuse_, POLLIN, 0}, {drained_ ? -1 : stop_, POLLIN, 0}};
      if (poll(watched, 2, drained_ ? kDrainIntervalMs : -1) < 0 && errno != EINTR) break;
      if (drained_) {
        const auto now = std::chrono::steady_clock::now();
        if (deadline == never) deadline = now + kMaxDrain;
        if (notifier_ended_ && now > deadline) break;
      }
      if (watched[1].revents != 0) {
        Drain();
        continue;
      }
      size_t used = 0;
      if (!ReadRequests(buffer, &used)) break;
      if (used == 0) continue;
      if (!drained_ && !Send(buffer.data(), used)) Drain();
      if (drained_) RefuseAll();
    }
    Drain();
  }

  // From the server to the kernel.
  void ForwardReplies() {
    std::vector<char> buffer(2 * kMaxMessage);
    size_t used = 0;
    for (;;) {
      pollfd watched[] = {{stream_, POLLIN, 0}, {stop_, POLLIN, 0}};
      if (poll(watched, 2, -1) < 0 && errno != EINTR) break;
      if (watched[1].revents != 0 || drained_) break;
      ssize_t length = recv(stream_, buffer.data() + used, buffer.size() - used, MSG_DONTWAIT);
      if (length < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (length <= 0) break;
      used += static_cast<size_t>(length);
      if (!PassOn(buffer, &used)) break;
    }
    Drain();
    RefuseAll();
  }

  // Notifications wait for locks that a process holds while it waits for a reply: never in the way of those.
  void ForwardNotifications() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      notified_.wait(lock, [this] { return drained_ || !notifications_.empty(); });
      if (drained_) break;
      std::string message = *notifications_.front();
      notifications_.pop_front();
      distinct_.erase(message);
      queued_ -= message.size();
      lock.unlock();
      // ENOENT: it is not cached.
      Retry([&] { return write(fuse_, message.data(), message.size()); });
      lock.lock();
    }
    notifier_ended_ = true;
  }

 private:
  // As many as are there and fit. False when the file system is gone.
  bool ReadRequests(std::vector<char>& buffer, size_t* used) {
    while (buffer.size() - *used >= kMaxMessage) {
      ssize_t length = read(fuse_, buffer.data() + *used, kMaxMessage);
      // ENOENT: the request was given up just now.
      if (length < 0 && (errno == EINTR || errno == ENOENT)) continue;
      if (length < 0 && errno == EPERM) return WaitForMount();
      if (length < 0) return errno == EAGAIN;
      if (static_cast<size_t>(length) < sizeof(fuse_in_header)) return false;
      fuse_in_header header;
      memcpy(&header, buffer.data() + *used, sizeof header);
      if (HasReply(header.opcode)) {
        std::lock_guard<std::mutex> lock(mutex_);
        outstanding_.insert(header.unique);
      }
      *used += static_cast<size_t>(length);
    }
    return true;
  }

  // Until it is mounted, the device cannot even be waited for.
  static bool WaitForMount() {
    poll(nullptr, 0, kMountIntervalMs);
    return true;
  }

  bool Send(const char* data, size_t size) {
    while (size > 0) {
      ssize_t length = send(stream_, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (length > 0) {
        data += length;
        size -= static_cast<size_t>(length);
      } else if (errno == EAGAIN) {
        pollfd watched[] = {{stream_, POLLOUT, 0}, {stop_, POLLIN, 0}};
        poll(watched, 2, -1);
        if (watched[1].revents != 0 || drained_) return false;
      } else if (errno != EINTR) {
        return false;
      }
    }
    return true;
  }

  // Every whole message in the buffer. False when the server breaks the rules.
  bool PassOn(std::vector<char>& buffer, size_t* used) {
    size_t at = 0;
    fuse_out_header header;
    while (*used - at >= sizeof header) {
      memcpy(&header, buffer.data() + at, sizeof header);
      if (!IsExpected(header)) return false;
      if (*used - at < header.len) break;
      if (header.unique != 0)
        Answer(header.unique, buffer.data() + at, header.len);
      else if (!Queue(std::string(buffer.data() + at, header.len)))
        return false;
      at += header.len;
    }
    memmove(buffer.data(), buffer.data() + at, *used - at);
    *used -= at;
    return true;
  }

  // What was asked is answered once; an answer to nothing goes nowhere.
  void Answer(uint64_t unique, const char* data, size_t size) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (outstanding_.erase(unique) == 0) return;
    }
    Retry([&] { return write(fuse_, data, size); });
  }

  bool Queue(std::string message) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (queued_ + message.size() > kMaxQueuedNotifications) return false;
    auto [place, is_new] = distinct_.insert(std::move(message));
    if (!is_new) return true;
    queued_ += place->size();
    notifications_.push_back(&*place);
    notified_.notify_one();
    return true;
  }

  void Drain() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      drained_ = true;
    }
    notified_.notify_all();
    shutdown(stream_, SHUT_RDWR);
    Stop();
  }

  void RefuseAll() {
    std::unordered_set<uint64_t> waiting;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      waiting.swap(outstanding_);
    }
    for (uint64_t unique : waiting) {
      fuse_out_header header = {sizeof header, -ENOTCONN, unique};
      Retry([&] { return write(fuse_, &header, sizeof header); });
    }
  }

  const int fuse_;
  const int stream_;
  const int stop_;
  std::atomic<bool> drained_{false};
  std::atomic<bool> notifier_ended_{false};
  std::mutex mutex_;
  std::condition_variable notified_;
  std::unordered_set<uint64_t> outstanding_;
  // Each once, however often it comes while it waits.
  std::unordered_set<std::string> distinct_;
  std::deque<const std::string*> notifications_;
  size_t queued_ = 0;
};

// Tells the event loop when a pump has come to its end, unless the loop is not interested any more.
struct Bell {
  std::mutex mutex;
  uv_async_t* async = nullptr;

  void Ring() {
    std::lock_guard<std::mutex> lock(mutex);
    if (async != nullptr) uv_async_send(async);
  }
};

class FusePump : public Handle<FusePump, uv_async_t> {
 public:
  using Handle::Handle;

  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "FusePump",
                       {InstanceMethod<&FusePump::Open>("open"), InstanceMethod<&FusePump::Close>("close")});
  }

  void OnClosing() {
    {
      std::lock_guard<std::mutex> lock(bell_->mutex);
      bell_->async = nullptr;
    }
    if (auto pump = pump_.lock()) pump->Stop();
  }

  void OnClosed() { on_end_.Reset(); }

 private:
  // open(fuseFd, streamFd, onEnd, onClosed): owns both descriptors from then on, unless it fails.
  Napi::Value Open(const Napi::CallbackInfo& info) {
    int result = uv_async_init(Loop(), &uv_, OnEnd);
    if (result < 0) return Napi::Number::New(info.Env(), result);
    bell_ = std::make_shared<Bell>();
    bell_->async = &uv_;
    on_end_ = Napi::Persistent(info[2].As<Napi::Function>());
    Opened("FusePump", info[3].As<Napi::Function>());
    auto pump = std::make_shared<Pump>(info[0].As<Napi::Number>().Int32Value(),
                                       info[1].As<Napi::Number>().Int32Value());
    pump_ = pump;
    auto bell = bell_;
    auto requests = std::make_shared<std::thread>([pump] { pump->ForwardRequests(); });
    auto notifications = std::make_shared<std::thread>([pump] { pump->ForwardNotifications(); });
    std::thread([pump, bell, requests, notifications]() mutable {
      pump->ForwardReplies();
      notifications->join();
      requests->join();
      pump.reset();
      bell->Ring();
    }).detach();
    return Napi::Number::New(info.Env(), 0);
  }

  Napi::Value Close(const Napi::CallbackInfo& info) {
    CloseHandle();
    return info.Env().Undefined();
  }

  static void OnEnd(uv_async_t* async) {
    FusePump* self = static_cast<FusePump*>(async->data);
    self->Call(self->on_end_, 0);
  }

  std::shared_ptr<Bell> bell_;
  std::weak_ptr<Pump> pump_;
  Napi::FunctionReference on_end_;
};

}  // namespace

void InitFuse(Napi::Env env, Napi::Object exports) { exports.Set("FusePump", FusePump::Define(env)); }

}  // namespace cpu
