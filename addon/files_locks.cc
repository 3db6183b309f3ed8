// Files below a directory: advisory locks. None of these calls waits. Locks belong to the open file
// description (F_OFD_SETLK), not to the process: the process serves many owners, and closing one file must
// not drop the locks of another.
#include "files.h"

#include <fcntl.h>
#include <sys/file.h>

namespace cpu {
namespace files {
namespace {

struct flock Region(int type, uint64_t start, uint64_t length) {
  struct flock lock = {};
  lock.l_type = static_cast<short>(type);
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(start);
  lock.l_len = static_cast<off_t>(length);
  return lock;
}

// fsLock(fd, type, start, length): type F_RDLCK, F_WRLCK or F_UNLCK; -EAGAIN when another owner has it
napi_value Lock(napi_env env, napi_callback_info info) {
  Args<4> args(env, info);
  struct flock lock = Region(args.Int(1), args.Big(2), args.Big(3));
  return args.Return(OrErrno(fcntl(args.Int(0), F_OFD_SETLK, &lock)));
}

// fsTestLock(fd, type, start, length, record): record becomes type4 pid4 start8 length8 of the lock in the
// way, or of type F_UNLCK
napi_value TestLock(napi_env env, napi_callback_info info) {
  Args<5> args(env, info);
  Bytes out = args.Range(4, 0, 24);
  if (out.data == nullptr) return args.Return(-EFAULT);
  struct flock lock = Region(args.Int(1), args.Big(2), args.Big(3));
  if (fcntl(args.Int(0), F_OFD_GETLK, &lock) < 0) return args.Return(-errno);
  Fields(out.data)
      .U32(static_cast<uint32_t>(lock.l_type))
      .U32(static_cast<uint32_t>(lock.l_pid))
      .U64(static_cast<uint64_t>(lock.l_start))
      .U64(static_cast<uint64_t>(lock.l_len));
  return args.Return(0);
}

// fsFlock(fd, type): a lock of the whole file by flock(2), which asks for no particular open mode
napi_value Flock(napi_env env, napi_callback_info info) {
  Args<2> args(env, info);
  int type = args.Int(1);
  int operation = type == F_RDLCK ? LOCK_SH : type == F_WRLCK ? LOCK_EX : LOCK_UN;
  return args.Return(OrErrno(flock(args.Int(0), operation | LOCK_NB)));
}

}  // namespace

void ExportLocks(napi_env env, napi_value exports) {
  Export(env, exports, {{"fsLock", Lock}, {"fsTestLock", TestLock}, {"fsFlock", Flock}});
}

}  // namespace files
}  // namespace cpu
