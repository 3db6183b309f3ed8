// Files below a directory: opening, reading and writing, listing directories. What may have to wait for a
// device has an asynchronous form that runs in libuv's thread pool.
#include "files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>

namespace cpu {
namespace files {
namespace {

// fsOpen(fd, flags): an O_PATH descriptor opened for use. Only regular files and directories may come here:
// opening a FIFO or a device can block, or act.
napi_value Open(napi_env env, napi_callback_info info) {
  Args<2> args(env, info);
  int fd = args.Int(0);
  int flags = args.Int(1) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  struct stat st;
  if (fstat(fd, &st) < 0) return args.Return(-errno);
  if (S_ISDIR(st.st_mode)) {
    return args.Return(OrErrno(Retry([&] { return openat(fd, ".", flags | O_DIRECTORY); })));
  }
  if (!S_ISREG(st.st_mode)) return args.Return(-ENXIO);
  DescriptorPath path(fd);
  return args.Return(OrErrno(Retry([&] { return open(path.text(), flags); })));
}

// All of the range, as far as the page cache has it; -EAGAIN when the rest must be waited for.
int64_t ReadNowait(int fd, uint8_t* data, size_t length, off_t offset) {
  size_t total = 0;
  while (total < length) {
    struct iovec part = {data + total, length - total};
    ssize_t n = Retry([&] { return preadv2(fd, &part, 1, offset + static_cast<off_t>(total), RWF_NOWAIT); });
    if (n < 0) return -errno;
    if (n == 0) break;
    total += static_cast<size_t>(n);
  }
  return static_cast<int64_t>(total);
}

// fsRead(fd, buffer, at, count, offset, nowait): bytes read; fewer than count only at the end of the file
napi_value Read(napi_env env, napi_callback_info info) {
  Args<6> args(env, info);
  Bytes out = args.Range(1, args.Uint(2), args.Uint(3));
  if (out.data == nullptr) return args.Return(-EFAULT);
  int fd = args.Int(0);
  off_t offset = static_cast<off_t>(args.Big(4));
  if (args.Bool(5)) return args.Return(ReadNowait(fd, out.data, out.length, offset));
  return args.Return(OrErrno(Retry([&] { return pread(fd, out.data, out.length, offset); })));
}

// fsWrite(fd, buffer, at, count, offset): bytes written
napi_value Write(napi_env env, napi_callback_info info) {
  Args<5> args(env, info);
  Bytes in = args.Range(1, args.Uint(2), args.Uint(3));
  if (in.data == nullptr) return args.Return(-EFAULT);
  int fd = args.Int(0);
  off_t offset = static_cast<off_t>(args.Big(4));
  return args.Return(OrErrno(Retry([&] { return pwrite(fd, in.data, in.length, offset); })));
}

// One call in the thread pool, and what it needs kept alive until it is done.
struct Job {
  enum class Kind { kRead, kWrite, kSync, kDataSync } kind;
  int fd;
  Bytes bytes;
  off_t offset;
  int64_t result;
  napi_async_work work;
  napi_deferred deferred;
  napi_ref buffer;
};

void Execute(napi_env, void* data) {
  Job* job = static_cast<Job*>(data);
  job->result = Retry([&]() -> ssize_t {
    switch (job->kind) {
      case Job::Kind::kRead: return pread(job->fd, job->bytes.data, job->bytes.length, job->offset);
      case Job::Kind::kWrite: return pwrite(job->fd, job->bytes.data, job->bytes.length, job->offset);
      case Job::Kind::kSync: return fsync(job->fd);
      case Job::Kind::kDataSync: return fdatasync(job->fd);
    }
    return 0;
  });
  if (job->result < 0) job->result = -errno;
}

void Complete(napi_env env, napi_status status, void* data) {
  Job* job = static_cast<Job*>(data);
  napi_value result;
  napi_create_int64(env, status == napi_ok ? job->result : -ECANCELED, &result);
  napi_resolve_deferred(env, job->deferred, result);
  if (job->buffer != nullptr) napi_delete_reference(env, job->buffer);
  napi_delete_async_work(env, job->work);
  delete job;
}

napi_value Queue(napi_env env, Job* job, napi_value buffer) {
  napi_value promise;
  napi_value name;
  napi_create_promise(env, &job->deferred, &promise);
  if (buffer != nullptr) napi_create_reference(env, buffer, 1, &job->buffer);
  napi_create_string_utf8(env, "cpu_harness:files", NAPI_AUTO_LENGTH, &name);
  napi_create_async_work(env, nullptr, name, Execute, Complete, job, &job->work);
  napi_queue_async_work(env, job->work);
  return promise;
}

napi_value QueueTransfer(napi_env env, napi_callback_info info, Job::Kind kind) {
  Args<5> args(env, info);
  Bytes bytes = args.Range(1, args.Uint(2), args.Uint(3));
  if (bytes.data == nullptr) return args.Return(-EFAULT);
  Job* job = new Job{kind, args.Int(0), bytes, static_cast<off_t>(args.Big(4)), 0, nullptr, nullptr, nullptr};
  return Queue(env, job, args.Raw(1));
}

// fsReadAsync(fd, buffer, at, count, offset): a promise of the bytes read, by one pread that may wait
napi_value ReadAsync(napi_env env, napi_callback_info info) {
  return QueueTransfer(env, info, Job::Kind::kRead);
}

// fsWriteAsync(fd, buffer, at, count, offset): a promise of the bytes written
napi_value WriteAsync(napi_env env, napi_callback_info info) {
  return QueueTransfer(env, info, Job::Kind::kWrite);
}

// fsSyncAsync(fd, dataOnly): a promise of 0
napi_value SyncAsync(napi_env env, napi_callback_info info) {
  Args<2> args(env, info);
  Job::Kind kind = args.Bool(1) ? Job::Kind::kDataSync : Job::Kind::kSync;
  return Queue(env, new Job{kind, args.Int(0), {nullptr, 0}, 0, 0, nullptr, nullptr, nullptr}, nullptr);
}

struct KernelEntry {
  uint64_t d_ino;
  int64_t d_off;
  uint16_t d_reclen;
  uint8_t d_type;
  char d_name[];
};

// Fixed part of a record: id[13] (type, version, path), cookie[8], type[1], name length[2].
constexpr size_t kRecordHeader = 24;
// A kernel entry with a name of 255 bytes.
constexpr size_t kLargestEntry = 280;

uint8_t TypeOf(int directory, const KernelEntry* entry) {
  if (entry->d_type != DT_UNKNOWN) return entry->d_type;
  struct stat st;
  if (fstatat(directory, entry->d_name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0) return DT_UNKNOWN;
  return IFTODT(st.st_mode);
}

// How entries get their identity: the file system's part of it, and what ".." is said to be, which at the
// root of an export is the root itself.
struct Numbering {
  uint64_t prefix;
  uint64_t parent;
  uint32_t version;
};

// As fileId in src/fs/device.ts.
uint64_t FileId(uint64_t prefix, uint64_t ino) {
  constexpr uint64_t kScattered = uint64_t{1} << 63;
  if (ino >> 48 == 0 && prefix < kScattered) return prefix | ino;
  uint64_t x = ino + prefix;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return kScattered | (x ^ (x >> 31));
}

void PutEntry(uint8_t* out, int directory, const KernelEntry* entry, size_t length,
              const Numbering& numbering) {
  bool isParent = length == 2 && entry->d_name[0] == '.' && entry->d_name[1] == '.';
  uint8_t type = TypeOf(directory, entry);
  Fields(out)
      .U8(type == DT_DIR ? 0x80 : type == DT_LNK ? 0x02 : 0)
      .U32(type == DT_REG ? numbering.version : 0)
      .U64(isParent ? numbering.parent : FileId(numbering.prefix, entry->d_ino))
      .U64(static_cast<uint64_t>(entry->d_off))
      .U8(type)
      .U16(static_cast<uint16_t>(length))
      .Raw(entry->d_name, length);
}

// Entries from the cookie on, as many whole records as fit; 0 at the end.
int64_t List(int fd, int64_t cookie, const Bytes& out, const Numbering& numbering) {
  if (lseek(fd, cookie, SEEK_SET) < 0) return -errno;
  alignas(KernelEntry) char entries[32768];
  size_t used = 0;
  int64_t last = cookie;
  for (;;) {
    // A record is at most 7/6 of the kernel's entry: what is asked for fits, and no seek back is needed,
    // which would cost ext4 a search.
    size_t want = std::min(sizeof entries, (out.length - used) * 6 / 7);
    if (want < kLargestEntry) {
      if (used > 0) return static_cast<int64_t>(used);
      want = kLargestEntry;
    }
    long n = syscall(SYS_getdents64, fd, entries, want);
    if (n < 0 && errno == ENOENT) n = 0;  // a directory that was removed
    if (n < 0) return used > 0 ? static_cast<int64_t>(used) : -errno;
    if (n == 0) return static_cast<int64_t>(used);
    for (long at = 0; at < n;) {
      const KernelEntry* entry = reinterpret_cast<const KernelEntry*>(entries + at);
      size_t length = strlen(entry->d_name);
      if (kRecordHeader + length > out.length - used) {
        lseek(fd, last, SEEK_SET);
        return used > 0 ? static_cast<int64_t>(used) : -EINVAL;
      }
      PutEntry(out.data + used, fd, entry, length, numbering);
      used += kRecordHeader + length;
      last = entry->d_off;
      at += entry->d_reclen;
    }
  }
}

// fsReaddir(fd, cookie, buffer, at, count, prefix, parent, version): bytes of records written
napi_value Readdir(napi_env env, napi_callback_info info) {
  Args<8> args(env, info);
  Bytes out = args.Range(2, args.Uint(3), args.Uint(4));
  if (out.data == nullptr) return args.Return(-EFAULT);
  Numbering numbering = {args.Big(5), args.Big(6), args.Uint(7)};
  return args.Return(List(args.Int(0), static_cast<int64_t>(args.Big(1)), out, numbering));
}

// fsReadlink(fd, buffer, at, count): length of the target
napi_value Readlink(napi_env env, napi_callback_info info) {
  Args<4> args(env, info);
  Bytes out = args.Range(1, args.Uint(2), args.Uint(3));
  if (out.data == nullptr) return args.Return(-EFAULT);
  return args.Return(OrErrno(readlinkat(args.Int(0), "", reinterpret_cast<char*>(out.data), out.length)));
}

}  // namespace

void ExportData(napi_env env, napi_value exports) {
  Export(env, exports,
         {{"fsOpen", Open},
          {"fsRead", Read},
          {"fsWrite", Write},
          {"fsReadAsync", ReadAsync},
          {"fsWriteAsync", WriteAsync},
          {"fsSyncAsync", SyncAsync},
          {"fsReaddir", Readdir},
          {"fsReadlink", Readlink}});
}

}  // namespace files
}  // namespace cpu
