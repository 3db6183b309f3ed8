// What is served: a tree of files below one local directory, as a protocol server sees it. It knows no protocol;
// src/9p/ is one user. LocalTree (local-tree.ts) is the implementation on Linux descriptors.
//
// Every method is called from one thread, never concurrently with itself, and returns at once unless its result
// is a promise. A result below zero is a Failure. Names and link targets are byte strings: one character for each
// byte, U+0000 to U+00FF, never decoded.

import type { Failure } from './failure.js'
import type { GiveUp } from './idle-files.js'

/** A string whose characters are bytes. */
export type ByteString = string

export type FileKind = 'file' | 'directory' | 'symlink' | 'other'

/**
 * One file, directory or link, whatever its names. Got from `lookup` and its like with one reference, which the
 * receiver gives back with `release`; the same file is the same object.
 */
export interface TreeNode {
  /**
   * The same for as long as the file exists, and of no other one of the tree, over all file systems below the root.
   * Only where inode numbers need more than 48 bits, as on some network and union file systems, ids are hashes of
   * them, and two of a million files have the same one with a probability of 1 to 20 million.
   */
  readonly id: bigint
  readonly kind: FileKind
  /** Made up by a kernel while it is read (procfs, sysfs): sizes and contents must not be cached. */
  readonly isSynthetic: boolean
}

/** A regular file or directory that is open; ends with `close`. */
export interface OpenFile {
  /** Kept alive by the open file itself. */
  readonly node: TreeNode
}

/** Bits for `open` and `create`, in the numbers of 9P2000.L, which are those of Linux on x86. */
export const openFlag = {
  accessMask: 0o3,
  read: 0o0,
  write: 0o1,
  readWrite: 0o2,
  exclusive: 0o200,
  truncate: 0o1000,
  append: 0o2000,
  dataSync: 0o10000,
  directory: 0o200000,
  sync: 0o4010000,
} as const

export interface Time {
  readonly seconds: number
  readonly nanoseconds: number
}

/** What `setAttributes` is to change. */
export interface AttributeChange {
  readonly mode?: number | undefined
  readonly uid?: number | undefined
  readonly gid?: number | undefined
  readonly size?: bigint | undefined
  readonly accessTime?: Time | 'now' | undefined
  readonly modificationTime?: Time | 'now' | undefined
}

/**
 * Whom a lock belongs to, such as a process of a connection. Owners are in each other's way, but never in their own,
 * by whichever of their open files they lock.
 */
export type LockOwner = string

export type LockType = 'read' | 'write' | 'unlock'

/** A range of bytes; length 0 is to the end of the file, however it grows. */
export interface LockRegion {
  readonly type: LockType
  readonly start: bigint
  readonly length: bigint
}

/** The lock that is in the way of another; pid 0 when the owner is no process of this machine's. */
export interface LockHolder extends LockRegion {
  readonly pid: number
}

/** A lock being waited for. */
export interface PendingLock {
  /** 0 once the lock is held, EINTR when cancelled, or another failure. */
  readonly result: Promise<number>
  /** Gives up; the lock is then not held. Does nothing once it is. */
  cancel(): void
}

/** Bytes of an attribute record: mode4 uid4 gid4 nlink8 rdev8 size8 blksize8 blocks8, {atime, mtime, ctime,
 * btime}{sec8 nsec8}, gen8 (0), version8 (0), little-endian. */
export const attributeRecordSize = 132

/** Bytes of a directory record before the name: type1 version4 id8 cookie8 DT_*1 length2. */
export const directoryRecordPrefix = 24

/** Bytes of a statfs record: type4 bsize4 blocks8 bfree8 bavail8 files8 ffree8 fsid8 namelen4. */
export const statfsRecordSize = 60

/** What somebody else did. */
export type TreeChange =
  /** A name appeared, went, or stands for another file. */
  | { readonly kind: 'entry'; readonly directory: TreeNode; readonly name: ByteString }
  /** The file of that name has other contents, or other attributes alone. */
  | { readonly kind: 'contents' | 'attributes'; readonly directory: TreeNode; readonly name: ByteString }
  /** The directory's own attributes. */
  | { readonly kind: 'self'; readonly directory: TreeNode }
  /** More happened than could be noted: anything may have changed. */
  | { readonly kind: 'lost' }

export interface TreeWatcher {
  /** Whether the directory is watched from now on (or was). The caller holds a reference until it is removed. */
  add(directory: TreeNode): boolean
  has(directory: TreeNode): boolean
  /** Whether no other directory can be watched unless one is removed. */
  readonly isFull: boolean
  remove(directory: TreeNode): void
  close(): void
}

export interface FileTree {
  /** The directory that is served; needs no release. */
  readonly root: TreeNode
  /** Every call that would change something fails with EROFS. */
  readonly isReadOnly: boolean

  /**
   * The entry of that name, not what a link points at; `..` at the root is the root. ENOTDIR, ENOENT, EINVAL for
   * what is no single component, ESTALE when the directory cannot be found again.
   */
  lookup(directory: TreeNode, name: ByteString): TreeNode | Failure
  retain(node: TreeNode): void
  release(node: TreeNode): void

  /** Writes an attribute record; 1 when the time of birth is known, else 0. */
  attributes(node: TreeNode, into: Uint8Array, at: number): number
  /** Owner first, then mode, size and times; stops at the first failure. `file` is used for the size if it is open
   * for writing. */
  setAttributes(node: TreeNode, change: AttributeChange, file?: OpenFile): number
  statfs(node: TreeNode, into: Uint8Array, at: number): number
  readlink(node: TreeNode, into: Uint8Array, at: number, count: number): number

  /** ELOOP for a link, ENXIO for a FIFO or socket, EACCES for a device: these are never opened. */
  open(node: TreeNode, flags: number): OpenFile | Failure
  /** Creates a regular file and opens it; opens an existing one unless `exclusive` is among the flags. */
  create(directory: TreeNode, name: ByteString, flags: number, mode: number): OpenFile | Failure
  /** Ends a file and its locks; calls under way on it finish first. */
  close(file: OpenFile): void

  /** Bytes read, 0 at the end. EAGAIN: the data must be waited for, with `readWaiting`. */
  read(file: OpenFile, into: Uint8Array, at: number, count: number, offset: bigint): number
  readWaiting(file: OpenFile, into: Uint8Array, at: number, count: number, offset: bigint): Promise<number>
  /** Bytes written. EAGAIN: this file's writes may wait, use `writeWaiting`. */
  write(file: OpenFile, from: Uint8Array, at: number, count: number, offset: bigint): number
  writeWaiting(file: OpenFile, from: Uint8Array, at: number, count: number, offset: bigint): Promise<number>
  sync(file: OpenFile, dataOnly: boolean): Promise<number>

  /**
   * Writes whole directory records: type1 version4 id8 (type 0x80 directory, 0x02 link), cookie8, DT_*1, name
   * length2, name. `cookie` is 0 or that of the last record seen. The number of bytes, 0 at the end; EINVAL when
   * not even one record fits.
   */
  readDirectory(file: OpenFile, cookie: bigint, into: Uint8Array, at: number, count: number): number

  makeDirectory(directory: TreeNode, name: ByteString, mode: number): TreeNode | Failure
  /** `mode` with its type bits. */
  makeNode(
    directory: TreeNode,
    name: ByteString,
    mode: number,
    major: number,
    minor: number,
  ): TreeNode | Failure
  makeLink(directory: TreeNode, name: ByteString, target: ByteString): TreeNode | Failure
  link(node: TreeNode, directory: TreeNode, name: ByteString): number
  rename(from: TreeNode, fromName: ByteString, to: TreeNode, toName: ByteString): number
  /** Renames by whatever name the node was last seen under; ESTALE when it has none or another file has it. */
  renameNode(node: TreeNode, to: TreeNode, toName: ByteString): number
  unlink(directory: TreeNode, name: ByteString, isDirectory: boolean): number
  unlinkNode(node: TreeNode): number

  /**
   * Takes, changes or drops a lock; EAGAIN when another owner has it. As POSIX has it, an owner's locks on a file are
   * dropped through any of its open files, and all end with the first of those by which it locked.
   */
  lock(file: OpenFile, owner: LockOwner, region: LockRegion): number
  /** The same, waiting until it is free. */
  lockWaiting(file: OpenFile, owner: LockOwner, region: LockRegion): PendingLock
  /** The lock in the way of that one, or undefined. */
  testLock(file: OpenFile, owner: LockOwner, region: LockRegion): LockHolder | undefined | Failure

  /** Only attributes of the `user.` class are there; others are ENODATA or EOPNOTSUPP. */
  getXattr(node: TreeNode, name: ByteString): Uint8Array | Failure
  /** The names, each ended by a NUL. */
  listXattrs(node: TreeNode): Uint8Array | Failure
  /** flags: 1 create only, 2 replace only. */
  setXattr(node: TreeNode, name: ByteString, value: Uint8Array, flags: number): number
  removeXattr(node: TreeNode, name: ByteString): number

  /** Whether this process may open whatever is there, so that a later read or write is not refused. */
  readonly opensEverything?: boolean

  /** Tells of changes by others, in the directories that are added to it. Undefined where that cannot be. */
  watch?(onChange: (change: TreeChange) => void): TreeWatcher | undefined

  /**
   * The same directory for another of several users who must not be in each other's way: it has nodes and open files
   * of its own, and never takes more descriptors than it leaves for all others together, but a few. Disposed of
   * before this tree is.
   */
  share?(): FileTree

  /**
   * `giveUp` is called when descriptors run out, in the middle of another call: it closes files that are open only to
   * save opening them again, but none that this call may be about, and returns whether there were any. Returns what ends it.
   */
  onShortage(giveUp: GiveUp): () => void

  /** Ends the tree: closes every descriptor it still has. */
  dispose(): void
}
