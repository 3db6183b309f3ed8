// How the methods of a file tree fail: by a negative Linux errno as their result. A missing name is an ordinary
// answer (a program start asks for hundreds), and an exception would cost more than the system call.

/** Negative errno, by the numbers of Linux whatever the local system. */
export type Failure = number

/** The failures that this code itself decides on; others come from the system as they are. */
export const failure = {
  EPERM: -1,
  ENOENT: -2,
  EINTR: -4,
  EIO: -5,
  ENXIO: -6,
  E2BIG: -7,
  EBADF: -9,
  EAGAIN: -11,
  ENOMEM: -12,
  EACCES: -13,
  EBUSY: -16,
  EEXIST: -17,
  ENOTDIR: -20,
  EISDIR: -21,
  EINVAL: -22,
  ENFILE: -23,
  EMFILE: -24,
  ENOSPC: -28,
  EROFS: -30,
  ERANGE: -34,
  ENAMETOOLONG: -36,
  ENOLCK: -37,
  ENOSYS: -38,
  ELOOP: -40,
  ENODATA: -61,
  EPROTO: -71,
  EOPNOTSUPP: -95,
  ESTALE: -116,
} as const
