// What addon/files*.cc export. Results are counts or descriptors, or a negative errno. Names, paths, link targets
// and attribute names are strings of bytes: one character for each byte, U+0000 to U+00FF. 64-bit values are
// bigints, taken modulo 2^64. Buffers are filled at byte `at`, with no more than `count` bytes.

export interface FilesBinding {
  /** The soft limit of descriptors of this process. */
  fsDescriptorLimit(): number
  /** An O_PATH descriptor of a local directory; `identity` (24 bytes) becomes dev4 mode4 ino8 birth8, birth a double. */
  fsOpenRoot(path: string, identity: Uint8Array): number
  /** An O_PATH descriptor of the entry `name` itself. A name that is not one component is EINVAL. */
  fsLookup(dirfd: number, name: string, identity: Uint8Array): number
  fsIdentify(dirfd: number, name: string, identity: Uint8Array): number
  /** An O_PATH descriptor of the file open as `fd`. */
  fsDuplicatePath(fd: number, identity: Uint8Array): number
  /** Creates with O_EXCL and opens; `mode` is not masked. */
  fsCreate(dirfd: number, name: string, flags: number, mode: number): number
  fsMkdir(dirfd: number, name: string, mode: number): number
  fsMknod(dirfd: number, name: string, mode: number, major: number, minor: number): number
  fsSymlink(target: string, dirfd: number, name: string): number
  fsLink(fd: number, dirfd: number, name: string): number
  fsRename(olddirfd: number, oldname: string, newdirfd: number, newname: string): number
  fsUnlink(dirfd: number, name: string, isDirectory: boolean): number
  fsClose(fd: number): number

  /** Opens an O_PATH descriptor's regular file or directory; anything else is ENXIO. */
  fsOpen(fd: number, flags: number): number
  /** With `nowait`: EAGAIN when the data is not in memory, EOPNOTSUPP when the file system cannot tell. */
  fsRead(fd: number, into: Uint8Array, at: number, count: number, offset: bigint, nowait: boolean): number
  fsWrite(fd: number, from: Uint8Array, at: number, count: number, offset: bigint): number
  /** In the thread pool; the buffer is kept alive until then. EFAULT comes back as a number, at once. */
  fsReadAsync(
    fd: number,
    into: Uint8Array,
    at: number,
    count: number,
    offset: bigint,
  ): Promise<number> | number
  fsWriteAsync(
    fd: number,
    from: Uint8Array,
    at: number,
    count: number,
    offset: bigint,
  ): Promise<number> | number
  fsSyncAsync(fd: number, dataOnly: boolean): Promise<number>
  /**
   * Whole directory records from `cookie` on: type1 version4 path8, cookie8, DT_*1, name length2, name.
   * `path` is `fileId(prefix, d_ino)` of src/fs/device.ts, for `..` it is `parent`.
   */
  fsReaddir(
    fd: number,
    cookie: bigint,
    into: Uint8Array,
    at: number,
    count: number,
    prefix: bigint,
    parent: bigint,
    version: number,
  ): number
  fsReadlink(fd: number, into: Uint8Array, at: number, count: number): number

  /** Writes the 132 bytes of an attribute record (src/fs/tree.ts); 1 when the time of birth is known, else 0. */
  fsAttributes(fd: number, into: Uint8Array, at: number): number
  /** Writes the 60 bytes of a statfs record (src/fs/tree.ts). */
  fsStatfs(fd: number, into: Uint8Array, at: number): number
  fsChmod(fd: number, mode: number): number
  /** 0xffffffff leaves the user or group as it is. */
  fsChown(fd: number, uid: number, gid: number): number
  fsUtimes(
    fd: number,
    accessS: number,
    accessNs: number,
    modificationS: number,
    modificationNs: number,
  ): number
  fsTruncate(fd: number, size: bigint, isOpen: boolean): number
  fsGetXattr(fd: number, name: string, into: Uint8Array): number
  fsListXattr(fd: number, into: Uint8Array): number
  fsSetXattr(fd: number, name: string, value: Uint8Array, flags: number): number
  fsRemoveXattr(fd: number, name: string): number

  /** F_RDLCK 0, F_WRLCK 1, F_UNLCK 2, for the open file description; never waits. */
  fsLock(fd: number, type: number, start: bigint, length: bigint): number
  /** `record` (24 bytes) becomes type4 pid4 start8 length8. */
  fsTestLock(fd: number, type: number, start: bigint, length: bigint, record: Uint8Array): number
  fsFlock(fd: number, type: number): number
}
