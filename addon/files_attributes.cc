// Files below a directory: attributes, extended attributes, sizes of file systems. Records are written in the
// order of 9P2000.L, so that its server sends them as they are.
#include "files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace cpu {
namespace files {
namespace {

// mode4 uid4 gid4 nlink8 rdev8 size8 blksize8 blocks8, {access, modification, change, birth}{sec8 nsec8},
// gen8 version8
constexpr size_t kAttributesSize = 132;
constexpr size_t kStatfsSize = 60;

// A device number in 32 bits, as the kernel writes it for protocols (new_encode_dev in linux/kdev_t.h).
uint64_t EncodeDevice(uint32_t major, uint32_t minor) {
  return (minor & 0xff) | (static_cast<uint64_t>(major) << 8) | (static_cast<uint64_t>(minor & ~0xffu) << 12);
}

Fields& PutTime(Fields& fields, const struct statx_timestamp& time) {
  return fields.U64(static_cast<uint64_t>(time.tv_sec)).U64(time.tv_nsec);
}

// fsAttributes(fd, buffer, at): 1 when the time of birth is known, else 0
napi_value Attributes(napi_env env, napi_callback_info info) {
  Args<3> args(env, info);
  Bytes out = args.Range(1, args.Uint(2), kAttributesSize);
  if (out.data == nullptr) return args.Return(-EFAULT);
  struct statx st;
  if (statx(args.Int(0), "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_BTIME, &st) < 0) {
    return args.Return(-errno);
  }
  bool hasBirth = (st.stx_mask & STATX_BTIME) != 0;
  if (!hasBirth) st.stx_btime = {};
  Fields fields(out.data);
  fields.U32(st.stx_mode).U32(st.stx_uid).U32(st.stx_gid).U64(st.stx_nlink);
  fields.U64(EncodeDevice(st.stx_rdev_major, st.stx_rdev_minor)).U64(st.stx_size);
  fields.U64(st.stx_blksize).U64(st.stx_blocks);
  PutTime(fields, st.stx_atime);
  PutTime(fields, st.stx_mtime);
  PutTime(fields, st.stx_ctime);
  PutTime(fields, st.stx_btime);
  fields.U64(0).U64(0);
  return args.Return(hasBirth ? 1 : 0);
}

// fsStatfs(fd, buffer, at): 0. type4 bsize4 blocks8 bfree8 bavail8 files8 ffree8 fsid8 namelen4
napi_value Statfs(napi_env env, napi_callback_info info) {
  Args<3> args(env, info);
  Bytes out = args.Range(1, args.Uint(2), kStatfsSize);
  if (out.data == nullptr) return args.Return(-EFAULT);
  struct statfs st;
  if (Retry([&] { return fstatfs(args.Int(0), &st); }) < 0) return args.Return(-errno);
  uint64_t id;
  static_assert(sizeof id == sizeof st.f_fsid, "an fsid is 64 bits");
  memcpy(&id, &st.f_fsid, sizeof id);
  Fields(out.data)
      .U32(static_cast<uint32_t>(st.f_type))
      .U32(static_cast<uint32_t>(st.f_bsize))
      .U64(st.f_blocks)
      .U64(st.f_bfree)
      .U64(st.f_bavail)
      .U64(st.f_files)
      .U64(st.f_ffree)
      .U64(id)
      .U32(static_cast<uint32_t>(st.f_namelen));
  return args.Return(0);
}

// fsChmod(fd, mode)
napi_value Chmod(napi_env env, napi_callback_info info) {
  Args<2> args(env, info);
  DescriptorPath path(args.Int(0));
  return args.Return(OrErrno(chmod(path.text(), args.Uint(1) & 07777)));
}

// fsChown(fd, uid, gid): 0xffffffff leaves one as it is
napi_value Chown(napi_env env, napi_callback_info info) {
  Args<3> args(env, info);
  int flags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW;
  return args.Return(OrErrno(fchownat(args.Int(0), "", args.Uint(1), args.Uint(2), flags)));
}

// Seconds that no time_t can hold become the latest or earliest it can, which the kernel limits further.
time_t Seconds(double value) {
  constexpr double kLimit = 9e18;
  return static_cast<time_t>(value >= kLimit ? kLimit : value <= -kLimit ? -kLimit : value);
}

// fsUtimes(fd, accessSeconds, accessNanoseconds, modificationSeconds, modificationNanoseconds):
// nanoseconds may be UTIME_NOW or UTIME_OMIT
napi_value Utimes(napi_env env, napi_callback_info info) {
  Args<5> args(env, info);
  DescriptorPath path(args.Int(0));
  struct timespec times[2] = {{Seconds(args.Double(1)), static_cast<long>(args.Uint(2))},
                              {Seconds(args.Double(3)), static_cast<long>(args.Uint(4))}};
  return args.Return(OrErrno(utimensat(AT_FDCWD, path.text(), times, 0)));
}

// fsTruncate(fd, size, isOpen): by an O_PATH descriptor, or by one that is open for writing
napi_value Truncate(napi_env env, napi_callback_info info) {
  Args<3> args(env, info);
  int fd = args.Int(0);
  off_t size = static_cast<off_t>(args.Big(1));
  if (args.Bool(2)) return args.Return(OrErrno(Retry([&] { return ftruncate(fd, size); })));
  DescriptorPath path(fd);
  return args.Return(OrErrno(Retry([&] { return truncate(path.text(), size); })));
}

// The name of an extended attribute, which the kernel bounds to 255 bytes.
class AttributeName {
 public:
  template <size_t N>
  AttributeName(const Args<N>& args, size_t i) {
    size_t length = args.Latin1(i, text_, sizeof text_);
    valid_ = length != SIZE_MAX && length != 0 && memchr(text_, 0, length) == nullptr;
  }
  bool valid() const { return valid_; }
  const char* text() const { return text_; }

 private:
  char text_[255 + 2];
  bool valid_;
};

// fsGetXattr(fd, name, buffer): length of the value; with an empty buffer only the length
napi_value GetXattr(napi_env env, napi_callback_info info) {
  Args<3> args(env, info);
  AttributeName name(args, 1);
  if (!name.valid()) return args.Return(-ERANGE);
  void* data = nullptr;
  size_t length = 0;
  napi_get_buffer_info(env, args.Raw(2), &data, &length);
  DescriptorPath path(args.Int(0));
  return args.Return(OrErrno(getxattr(path.text(), name.text(), data, length)));
}

// fsListXattr(fd, buffer): length of the list of names, each ended by a NUL
napi_value ListXattr(napi_env env, napi_callback_info info) {
  Args<2> args(env, info);
  void* data = nullptr;
  size_t length = 0;
  napi_get_buffer_info(env, args.Raw(1), &data, &length);
  DescriptorPath path(args.Int(0));
  return args.Return(OrErrno(listxattr(path.text(), static_cast<char*>(data), length)));
}

// fsSetXattr(fd, name, value, flags)
napi_value SetXattr(napi_env env, napi_callback_info info) {
  Args<4> args(env, info);
  AttributeName name(args, 1);
  if (!name.valid()) return args.Return(-ERANGE);
  void* data = nullptr;
  size_t length = 0;
  if (napi_get_buffer_info(env, args.Raw(2), &data, &length) != napi_ok) return args.Return(-EFAULT);
  DescriptorPath path(args.Int(0));
  return args.Return(OrErrno(setxattr(path.text(), name.text(), data, length, args.Int(3))));
}

// fsRemoveXattr(fd, name)
napi_value RemoveXattr(napi_env env, napi_callback_info info) {
  Args<2> args(env, info);
  AttributeName name(args, 1);
  if (!name.valid()) return args.Return(-ERANGE);
  DescriptorPath path(args.Int(0));
  return args.Return(OrErrno(removexattr(path.text(), name.text())));
}

}  // namespace

void ExportAttributes(napi_env env, napi_value exports) {
  Export(env, exports,
         {{"fsAttributes", Attributes},
          {"fsStatfs", Statfs},
          {"fsChmod", Chmod},
          {"fsChown", Chown},
          {"fsUtimes", Utimes},
          {"fsTruncate", Truncate},
          {"fsGetXattr", GetXattr},
          {"fsListXattr", ListXattr},
          {"fsSetXattr", SetXattr},
          {"fsRemoveXattr", RemoveXattr}});
}

}  // namespace files
}  // namespace cpu
