// Numbers of the FUSE protocol: linux/include/uapi/linux/fuse.h, version 7.31 with a few of later ones.

export const FUSE_MAJOR = 7
export const FUSE_MINOR = 36
/** Linux 5.4; older kernels lay some structures out differently. */
export const FUSE_MIN_MINOR = 31

export const ROOT_ID = 1

/** struct fuse_in_header: len4 opcode4 unique8 nodeid8 uid4 gid4 pid4 extlen2 padding2. */
export const requestHeaderSize = 40
/** struct fuse_out_header: len4 error4 unique8. */
export const replyHeaderSize = 16

/** Flags of INIT that are offered or looked at. */
export const initFlag = {
  asyncRead: 1 << 0,
  posixLocks: 1 << 1,
  bigWrites: 1 << 5,
  flockLocks: 1 << 10,
  autoInvalData: 1 << 12,
  readdirplus: 1 << 13,
  readdirplusAuto: 1 << 14,
  asyncDio: 1 << 15,
  writebackCache: 1 << 16,
  noOpenSupport: 1 << 17,
  parallelDirops: 1 << 18,
  abortError: 1 << 21,
  maxPages: 1 << 22,
  cacheSymlinks: 1 << 23,
  noOpendirSupport: 1 << 24,
  handleKillprivV2: 1 << 28,
} as const

/** FATTR_*: what SETATTR changes. */
export const attrFlag = {
  mode: 1 << 0,
  uid: 1 << 1,
  gid: 1 << 2,
  size: 1 << 3,
  atime: 1 << 4,
  mtime: 1 << 5,
  fh: 1 << 6,
  atimeNow: 1 << 7,
  mtimeNow: 1 << 8,
  killSuidgid: 1 << 11,
} as const

/** FUSE_GETATTR_FH: asked by way of an open file, by reads and seeks but never by stat(2). */
export const getattrByFile = 1

/** FOPEN_* */
export const openReply = { directIo: 1 << 0, keepCache: 1 << 1, cacheDir: 1 << 3 } as const

/** FUSE_LK_FLOCK */
export const lockIsFlock = 1
/** FUSE_WRITE_CACHE */
export const writeFromCache = 1 << 0
/** FUSE_WRITE_KILL_SUIDGID */
export const writeKillSuidgid = 1 << 2
/** FUSE_FSYNC_FDATASYNC */
export const fsyncDataOnly = 1
/** FUSE_RELEASE_FLOCK_UNLOCK */
export const releaseUnlocksFlock = 1 << 1

/** enum fuse_notify_code: the `error` of a message whose `unique` is 0. */
export const notifyCode = { invalInode: 2, invalEntry: 3 } as const

/** FUSE_EXPIRE_ONLY, and the version that knows it */
export const expireOnly = 1
export const EXPIRE_MINOR = 38

/** F_RDLCK, F_WRLCK, F_UNLCK */
export const lockType = { read: 0, write: 1, unlock: 2 } as const

/** OFFSET_MAX of the kernel: the end of a lock that has none. */
export const lockToEnd = 0x7fff_ffff_ffff_ffffn

/** Of open flags, those that are the same numbers for every kernel; on x86 and ARM, O_DIRECT and O_DIRECTORY are not. */
export const O_APPEND = 0o2000
const O_ACCMODE = 0o3
const O_EXCL = 0o200
const O_TRUNC = 0o1000
const O_SYNC = 0o4010000 // O_DSYNC is one of its bits

/**
 * What a server has to heed of the flags of OPEN and CREATE, which are those of the kernel's own architecture. The rest the
 * kernel sees to before it asks.
 */
export function portableOpenFlags(flags: number): number {
  return flags & (O_ACCMODE | O_EXCL | O_TRUNC | O_APPEND | O_SYNC)
}
