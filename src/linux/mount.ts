// Flags of mount(2) and umount2(2), as unsigned 32-bit numbers (MS_NOUSER is bit 31, so combine them with
// `(a | b) >>> 0`). Used by the fstab parser, the session's plan and PID 1.

// linux/mount.h

/** Mount read-only. */
export const MS_RDONLY = 1
/** Ignore set-user-id and set-group-id bits. */
export const MS_NOSUID = 2
/** Do not allow access to device files. */
export const MS_NODEV = 4
/** Do not allow programs to be executed. */
export const MS_NOEXEC = 8
/** Writes are synced at once. */
export const MS_SYNCHRONOUS = 16
/** Change the flags of what is mounted already. */
export const MS_REMOUNT = 32
/** Allow mandatory locks. */
export const MS_MANDLOCK = 64
/** Directory changes are synced at once. */
export const MS_DIRSYNC = 128
/** Do not follow symbolic links. */
export const MS_NOSYMFOLLOW = 256
/** Do not update access times. */
export const MS_NOATIME = 1024
/** Do not update access times of directories. */
export const MS_NODIRATIME = 2048
/** Make a directory visible at another place. */
export const MS_BIND = 4096
/** Move a mount to another place. */
export const MS_MOVE = 8192
/** With MS_BIND and the propagation types: the whole subtree. */
export const MS_REC = 16384
/** Suppress some kernel messages (MS_VERBOSE is its old name). */
export const MS_SILENT = 32768
/** The file system does not apply the umask. */
export const MS_POSIXACL = 1 << 16
/** Propagation: cannot be bind-mounted. */
export const MS_UNBINDABLE = 1 << 17
/** Propagation: nothing comes in, nothing goes out. */
export const MS_PRIVATE = 1 << 18
/** Propagation: events come in, none go out. */
export const MS_SLAVE = 1 << 19
/** Propagation: events are shared both ways. */
export const MS_SHARED = 1 << 20
/** Update access times relative to modification times. */
export const MS_RELATIME = 1 << 21
/** Kernel-internal: a kern_mount call. */
export const MS_KERNMOUNT = 1 << 22
/** Update the inode's i_version field. */
export const MS_I_VERSION = 1 << 23
/** Always update access times. */
export const MS_STRICTATIME = 1 << 24
/** Keep times in memory, write them lazily. */
export const MS_LAZYTIME = 1 << 25
/** Kernel-internal: a submount. */
export const MS_SUBMOUNT = 1 << 26
/** Kernel-internal: no remote locks. */
export const MS_NOREMOTELOCK = 1 << 27
/** Kernel-internal: no security labels. */
export const MS_NOSEC = 1 << 28
/** Kernel-internal: created by a kernel mount. */
export const MS_BORN = 1 << 29
/** Kernel-internal: active. */
export const MS_ACTIVE = 1 << 30
/** Kernel-internal: not mountable by users. */
export const MS_NOUSER = 0x80000000

/** The flags that MS_REMOUNT | MS_BIND can change on one mount point (`mount(2)`, "Remounting an existing mount"). */
export const MS_PER_MOUNT =
  MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_NOSYMFOLLOW

/** The propagation types; each is a mount(2) call of its own. */
export const MS_PROPAGATION = MS_UNBINDABLE | MS_PRIVATE | MS_SLAVE | MS_SHARED

// sys/mount.h, for umount2(2)

/** Abort pending requests (network and FUSE file systems). */
export const MNT_FORCE = 1
/** Detach now, clean up when no longer busy. */
export const MNT_DETACH = 2
/** Mark as expired; unmount if it has been marked already. */
export const MNT_EXPIRE = 4
/** Do not follow a symbolic link at the target. */
export const UMOUNT_NOFOLLOW = 8
