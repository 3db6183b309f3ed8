// Watching directories with fanotify(7): it names the process that made a change, so that our own are told from
// others' (since Linux 5.13 without privileges too).
#include <fcntl.h>
#include <sys/fanotify.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cstring>

#include "errors.h"
#include "families.h"

namespace cpu {
namespace {

constexpr uint64_t kMask = FAN_CREATE | FAN_DELETE | FAN_MOVED_FROM | FAN_MOVED_TO | FAN_MODIFY | FAN_ATTRIB |
                           FAN_CLOSE_WRITE | FAN_ONDIR | FAN_EVENT_ON_CHILD;
constexpr size_t kFsidSize = 8;

int FdOf(Napi::Value value) { return value.As<Napi::Number>().Int32Value(); }

Napi::Value Result(const Napi::CallbackInfo& info, long result) {
  return Napi::Number::New(info.Env(), static_cast<double>(result));
}

// watchOpen(): a descriptor to read changes from.
Napi::Value WatchOpen(const Napi::CallbackInfo& info) {
  const unsigned flags = FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_DFID_NAME;
  // The queue is the kernel's memory: what does not fit is told as FAN_Q_OVERFLOW. Marks are bounded by who adds them.
  int fd = fanotify_init(flags | FAN_UNLIMITED_MARKS, O_RDONLY);
  if (fd < 0 && errno == EPERM) fd = fanotify_init(flags, O_RDONLY);
  return Result(info, OrErrno(fd));
}

// watchAdd(watch, directory, key): watches the directory of an O_PATH descriptor; the number of bytes in `key`, by
// which changes name it.
Napi::Value WatchAdd(const Napi::CallbackInfo& info) {
  const int watch = FdOf(info[0]);
  const int directory = FdOf(info[1]);
  Napi::Uint8Array key = info[2].As<Napi::Uint8Array>();
  struct {
    file_handle handle;
    unsigned char bytes[MAX_HANDLE_SZ];
  } named;
  named.handle.handle_bytes = MAX_HANDLE_SZ;
  int mount_id;
  struct statfs system;
  if (name_to_handle_at(directory, "", &named.handle, &mount_id, AT_EMPTY_PATH) < 0 ||
      fstatfs(directory, &system) < 0)
    return Result(info, -errno);
  const size_t handle_size = sizeof(file_handle) + named.handle.handle_bytes;
  if (key.ByteLength() < kFsidSize + handle_size) return Result(info, -ENOBUFS);
  if (fanotify_mark(watch, FAN_MARK_ADD | FAN_MARK_ONLYDIR, kMask, directory, ".") < 0) return Result(info, -errno);
  memcpy(key.Data(), &system.f_fsid, kFsidSize);
  memcpy(key.Data() + kFsidSize, &named.handle, handle_size);
  return Result(info, static_cast<long>(kFsidSize + handle_size));
}

// watchRemove(watch, directory)
Napi::Value WatchRemove(const Napi::CallbackInfo& info) {
  const int result = fanotify_mark(FdOf(info[0]), FAN_MARK_REMOVE, kMask, FdOf(info[1]), ".");
  return Result(info, OrErrno(result));
}

class Records {
 public:
  Records(uint8_t* to, size_t room) : to_(to), room_(room) {}

  // mask4 keylength2 namelength2 key name
  void Add(uint32_t mask, const void* key, size_t key_size, const char* name, size_t name_size) {
    if (room_ - used_ < 8 + key_size + name_size) return;
    uint16_t sizes[] = {static_cast<uint16_t>(key_size), static_cast<uint16_t>(name_size)};
    Put(&mask, sizeof mask);
    Put(sizes, sizeof sizes);
    Put(key, key_size);
    Put(name, name_size);
  }

  size_t used() const { return used_; }

 private:
  void Put(const void* data, size_t size) {
    memcpy(to_ + used_, data, size);
    used_ += size;
  }

  uint8_t* to_;
  size_t room_;
  size_t used_ = 0;
};

void AddEvent(const fanotify_event_metadata* event, Records& records) {
  const uint32_t mask = static_cast<uint32_t>(event->mask);
  if (event->mask & FAN_Q_OVERFLOW) return records.Add(mask, nullptr, 0, nullptr, 0);
  if (event->pid == getpid()) return;
  const char* at = reinterpret_cast<const char*>(event) + event->metadata_len;
  const char* end = reinterpret_cast<const char*>(event) + event->event_len;
  if (end - at < static_cast<ssize_t>(sizeof(fanotify_event_info_fid) + sizeof(file_handle))) return;
  fanotify_event_info_header header;
  memcpy(&header, at, sizeof header);
  if (header.info_type != FAN_EVENT_INFO_TYPE_DFID_NAME) return;
  // The record is header, fsid, handle, name: the key is fsid and handle as they are.
  const char* key = at + sizeof header;
  file_handle handle;
  memcpy(&handle, key + kFsidSize, sizeof handle);
  const size_t key_size = kFsidSize + sizeof handle + handle.handle_bytes;
  const char* name = key + key_size;
  if (name >= end) return;
  records.Add(mask, key, key_size, name, strnlen(name, static_cast<size_t>(end - name)));
}

// watchRead(watch, into): records of what other processes did; their bytes, -EAGAIN when there is nothing more.
// `into` must have room for twice what is read at once.
Napi::Value WatchRead(const Napi::CallbackInfo& info) {
  alignas(fanotify_event_metadata) char buffer[16384];
  Napi::Uint8Array into = info[1].As<Napi::Uint8Array>();
  ssize_t length = Retry([&] { return read(FdOf(info[0]), buffer, sizeof buffer); });
  if (length < 0) return Result(info, -errno);
  Records records(into.Data(), into.ByteLength());
  auto* event = reinterpret_cast<fanotify_event_metadata*>(buffer);
  for (; FAN_EVENT_OK(event, length); event = FAN_EVENT_NEXT(event, length)) AddEvent(event, records);
  return Result(info, static_cast<long>(records.used()));
}

}  // namespace

void InitWatch(Napi::Env env, Napi::Object exports) {
  exports.Set("watchOpen", Napi::Function::New(env, WatchOpen));
  exports.Set("watchAdd", Napi::Function::New(env, WatchAdd));
  exports.Set("watchRemove", Napi::Function::New(env, WatchRemove));
  exports.Set("watchRead", Napi::Function::New(env, WatchRead));
}

}  // namespace cpu
