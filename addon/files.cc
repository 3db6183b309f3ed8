// Files below a directory, by descriptor: the calls that find, make and remove names. src/fs/ is their only
// user. A directory or file is an O_PATH descriptor; names are single components (see Name in files.h).
#include "files.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <mutex>

#include "families.h"

namespace cpu {
namespace files {
namespace {

// Which file it is: dev4 mode4 ino8 birth8. A device number has 12 and 20 bits in the kernel (linux/kdev_t.h). The
// time of birth, a double of nanoseconds, tells it from an earlier file with the same inode number; it is 0 where
// the file system has none.
constexpr size_t kIdentitySize = 24;

// Writes the identity of an open file (`name` empty) or of an entry, which is not followed; 0 or -errno.
int PutIdentity(const Bytes& out, int fd, const char* name) {
  constexpr int kFlags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
  struct statx st;
  if (statx(fd, name, kFlags, STATX_TYPE | STATX_INO | STATX_BTIME, &st) < 0) return -errno;
  double birth = 0;
  if ((st.stx_mask & STATX_BTIME) != 0) {
    birth = static_cast<double>(st.stx_btime.tv_sec) * 1e9 + st.stx_btime.tv_nsec;
  }
  uint32_t device = st.stx_dev_major << 20 | st.stx_dev_minor;
  Fields(out.data).U32(device).U32(st.stx_mode).U64(st.stx_ino).Raw(&birth, sizeof birth);
  return 0;
}

// The descriptor with its identity written, or closed again and -errno.
int WithIdentity(const Bytes& out, int fd) {
  if (fd < 0) return -errno;
  int error = PutIdentity(out, fd, "");
  if (error == 0) return fd;
  close(fd);
  return error;
}

// The mode of a new file is the guest's, whose own umask was applied there; ours must not be applied a second
// time. The umask belongs to the whole process, so it is zero only for the length of one call, and one thread
// at a time may do this.
class WithoutUmask {
 public:
  WithoutUmask() : guard_(mutex()), saved_(umask(0)) {}
  ~WithoutUmask() { umask(saved_); }

 private:
  static std::mutex& mutex() {
    static std::mutex instance;
    return instance;
  }
  std::lock_guard<std::mutex> guard_;
  mode_t saved_;
};

// fsDescriptorLimit(): how many descriptors this process may have
napi_value DescriptorLimit(napi_env env, napi_callback_info info) {
  Args<1> args(env, info);
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return args.Return(-errno);
  return args.Return(limit.rlim_cur > INT32_MAX ? INT32_MAX : static_cast<int64_t>(limit.rlim_cur));
}

// fsOpenRoot(path, identity): an O_PATH descriptor of a local directory, symbolic links followed
napi_value OpenRoot(napi_env env, napi_callback_info info) {
  Args<2> args(env, info);
  char path[4097];
  if (args.Latin1(0, path, sizeof path) == SIZE_MAX) return args.Return(-ENAMETOOLONG);
  Bytes out = args.Range(1, 0, kIdentitySize);
  if (out.data == nullptr) return args.Return(-EFAULT);
  int fd = Retry([&] { return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC); });
  return args.Return(WithIdentity(out, fd));
}

// fsLookup(dirfd, name, identity): an O_PATH descriptor of the entry itself, never of what a link points at
napi_value Lookup(napi_env env, napi_callback_info info) {
  Args<3> args(env, info);
  Name name(args, 1);
  if (name.error() != 0) return args.Return(name.error());
  Bytes out = args.Range(2, 0, kIdentitySize);
  if (out.data == nullptr) return args.Return(-EFAULT);
  int directory = args.Int(0);
  int fd = Retry([&] { return openat(directory, name.text(), O_PATH | O_NOFOLLOW | O_CLOEXEC); });
  return args.Return(WithIdentity(out, fd));
}

// fsIdentify(dirfd, name, identity): which file has that name, without opening it
napi_value Identify(napi_env env, napi_callback_info info) {
  Args<3> args(env, info);
  Name name(args, 1);
  if (name.error() != 0) return args.Return(name.error());
  Bytes out = args.Range(2, 0, kIdentitySize);
  if (out.data == nullptr) return args.Return(-EFAULT);
  return args.Return(PutIdentity(out, args.Int(0), name.text()));
}

// fsDuplicatePath(fd, identity): an O_PATH descriptor of the file open as fd
napi_value DuplicatePath(napi_env env, napi_callback_info info) {
  Args<2> args(env, info);
  Bytes out = args.Range(1, 0, kIdentitySize);
  if (out.data == nullptr) return args.Return(-EFAULT);
  DescriptorPath path(args.Int(0));
  return args.Return(WithIdentity(out, open(path.text(), O_PATH | O_CLOEXEC)));
}

// fsCreate(dirfd, name, flags, mode): a new regular file, open. O_EXCL always: what exists already is opened
// by fsOpen, after a look at its type.
napi_value Create(napi_env env, napi_callback_info info) {
  Args<4> args(env, info);
  Name name(args, 1);
  if (name.error() != 0) return args.Return(name.error());
  int flags = args.Int(2) | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  mode_t mode = args.Uint(3) & 07777;
  WithoutUmask scope;
  return args.Return(OrErrno(Retry([&] { return openat(args.Int(0), name.text(), flags, mode); })));
}

// fsMkdir(dirfd, name, mode)
napi_value Mkdir(napi_env env, napi_callback_info info) {
  Args<3> args(env, info);
  Name name(args, 1);
  if (name.error() != 0) return args.Return(name.error());
  WithoutUmask scope;
  return args.Return(OrErrno(mkdirat(args.Int(0), name.text(), args.Uint(2) & 07777)));
}

// fsMknod(dirfd, name, mode, major, minor)
napi_value Mknod(napi_env env, napi_callback_info info) {
  Args<5> args(env, info);
  Name name(args, 1);
  if (name.error() != 0) return args.Return(name.error());
  WithoutUmask scope;
  dev_t device = makedev(args.Uint(3), args.Uint(4));
  return args.Return(OrErrno(mknodat(args.Int(0), name.text(), args.Uint(2), device)));
}

// fsSymlink(target, dirfd, name)
napi_value Symlink(napi_env env, napi_callback_info info) {
  Args<3> args(env, info);
  Name name(args, 2);
  if (name.error() != 0) return args.Return(name.error());
  char target[4097];
  size_t length = args.Latin1(0, target, sizeof target);
  if (length == SIZE_MAX) return args.Return(-ENAMETOOLONG);
  if (memchr(target, 0, length) != nullptr) return args.Return(-EINVAL);
  return args.Return(OrErrno(symlinkat(target, args.Int(1), name.text())));
}

// fsLink(fd, dirfd, name)
napi_value Link(napi_env env, napi_callback_info info) {
  Args<3> args(env, info);
  Name name(args, 2);
  if (name.error() != 0) return args.Return(name.error());
  // AT_EMPTY_PATH would want CAP_DAC_READ_SEARCH.
  DescriptorPath path(args.Int(0));
  return args.Return(OrErrno(linkat(AT_FDCWD, path.text(), args.Int(1), name.text(), AT_SYMLINK_FOLLOW)));
}

// fsRename(olddirfd, oldname, newdirfd, newname)
napi_value Rename(napi_env env, napi_callback_info info) {
  Args<4> args(env, info);
  Name from(args, 1);
  Name to(args, 3);
  if (from.error() != 0) return args.Return(from.error());
  if (to.error() != 0) return args.Return(to.error());
  return args.Return(OrErrno(renameat(args.Int(0), from.text(), args.Int(2), to.text())));
}

// fsUnlink(dirfd, name, isDirectory)
napi_value Unlink(napi_env env, napi_callback_info info) {
  Args<3> args(env, info);
  Name name(args, 1);
  if (name.error() != 0) return args.Return(name.error());
  return args.Return(OrErrno(unlinkat(args.Int(0), name.text(), args.Bool(2) ? AT_REMOVEDIR : 0)));
}

// fsClose(fd)
napi_value Close(napi_env env, napi_callback_info info) {
  Args<1> args(env, info);
  return args.Return(OrErrno(close(args.Int(0))));
}

}  // namespace

void ExportNames(napi_env env, napi_value exports) {
  Export(env, exports,
         {{"fsDescriptorLimit", DescriptorLimit},
          {"fsOpenRoot", OpenRoot},
          {"fsLookup", Lookup},
          {"fsIdentify", Identify},
          {"fsDuplicatePath", DuplicatePath},
          {"fsCreate", Create},
          {"fsMkdir", Mkdir},
          {"fsMknod", Mknod},
          {"fsSymlink", Symlink},
          {"fsLink", Link},
          {"fsRename", Rename},
          {"fsUnlink", Unlink},
          {"fsClose", Close}});
}

}  // namespace files

void InitFiles(Napi::Env env, Napi::Object exports) {
  files::ExportNames(env, exports);
  files::ExportData(env, exports);
  files::ExportAttributes(env, exports);
  files::ExportLocks(env, exports);
}

}  // namespace cpu
