// A FileTree over a directory of this machine, by descriptors (inode-table.ts), with the rights of this process
// whatever user the other side claims to be. File modes are taken as they come: the umask that counts was applied
// on the other side.
//
// The other side is not trusted. A name is only ever looked up as one component of a directory's descriptor and no
// link is followed, so what is outside can not be named; `..` goes to the parent that was walked through, never to
// the kernel's, which another process can move. A directory that another process moves out of the export while it
// is in use stays usable below itself, as it does for any local process that holds it open.

import { binding } from '../native/binding.js'
import { capability, isAmongAllUsers, isCapable } from '../native/capabilities.js'
import { Exports } from './exports.js'
import { type Failure, failure } from './failure.js'
import type { GiveUp } from './idle-files.js'
import { DescriptorBudget, type Inode, InodeTable } from './inode-table.js'
import { openLocalWatcher } from './local-watcher.js'
import { Locks } from './locks.js'
import { LocalFile } from './open-file.js'
import {
  type AttributeChange,
  type ByteString,
  type FileTree,
  type LockHolder,
  type LockOwner,
  type LockRegion,
  openFlag,
  type PendingLock,
  type Time,
  type TreeChange,
  type TreeWatcher,
} from './tree.js'

export interface LocalTreeOptions {
  readonly readOnly?: boolean
  /** Absolute paths from the root: all that is shown, with bare directories on the way; everything by default. */
  readonly only?: readonly ByteString[] | undefined
  /** How many descriptors the tree may use; three quarters of the process's limit by default. */
  readonly maxDescriptors?: number
  /** How many directories may be watched for changes. */
  readonly maxWatched?: number | undefined
}

const utimeNow = 0x3fffffff // UTIME_NOW, linux/stat.h
const utimeOmit = 0x3ffffffe
const unchangedId = 0xffffffff
const allowedFlags =
  openFlag.accessMask | openFlag.truncate | openFlag.append | openFlag.dataSync | openFlag.sync
const characterDevice = 0o020000
const blockDevice = 0o060000
/** XATTR_SIZE_MAX and XATTR_LIST_MAX, linux/limits.h. */
const maxXattrSize = 65536
const userPrefix = 'user.'

/** Serves `localPath`, a directory; throws a SystemError when it can not be opened. */
export function openLocalTree(localPath: string, options: LocalTreeOptions = {}): LocalTree {
  const limit = options.maxDescriptors ?? Math.floor(binding.fsDescriptorLimit() * 0.75)
  const budget = new DescriptorBudget(limit)
  return new LocalTree(new InodeTable(localPath, budget), budget, options)
}

export class LocalTree implements FileTree {
  readonly isReadOnly: boolean
  readonly #table: InodeTable
  readonly #budget: DescriptorBudget
  readonly #locks: Locks
  readonly #exports: Exports
  readonly #options: LocalTreeOptions

  constructor(table: InodeTable, budget: DescriptorBudget, options: LocalTreeOptions) {
    this.isReadOnly = options.readOnly ?? false
    this.#options = options
    this.#table = table
    this.#budget = budget
    this.#locks = new Locks(table, this.isReadOnly)
    this.#exports = new Exports(table.root, options.only ?? ['/'])
  }

  onShortage(giveUp: GiveUp): () => void {
    return this.#table.idleFiles.add(giveUp)
  }

  share(): LocalTree {
    // The very directory, wherever it has been moved to.
    const table = new InodeTable(`/proc/self/fd/${this.root.fd}`, this.#budget, true)
    return new LocalTree(table, this.#budget, this.#options)
  }

  get root(): Inode {
    return this.#table.root
  }

  /** What is in use, for tests and reports. */
  get size(): { inodes: number; descriptors: number } {
    return this.#table.size
  }

  lookup(directory: Inode, name: ByteString): Inode | Failure {
    if (directory.kind !== 'directory') return failure.ENOTDIR
    if (name === '..') return this.#parent(directory)
    if (!this.#exports.shows(directory, name)) return failure.ENOENT
    const depth = this.#table.depthBelow(directory)
    if (depth < 0) return depth
    const directoryFd = this.#table.descriptor(directory)
    if (directoryFd < 0) return directoryFd
    const fd = this.#table.openDescriptor(() => binding.fsLookup(directoryFd, name, this.#table.identity))
    if (fd < 0) return fd
    const node = this.#table.adopt(fd, directory, name)
    if (this.#exports.found(directory, name, node)) return node
    this.release(node)
    return failure.ENOENT
  }

  #parent(directory: Inode): Inode | Failure {
    const parent = directory === this.root ? directory : directory.parent
    if (parent === undefined) return failure.ESTALE
    this.retain(parent)
    return parent
  }

  retain(node: Inode): void {
    node.references++
  }

  release(node: Inode): void {
    this.#table.release(node)
  }

  attributes(node: Inode, into: Uint8Array, at: number): number {
    const fd = this.#table.descriptor(node)
    return fd < 0 ? fd : binding.fsAttributes(fd, into, at)
  }

  setAttributes(node: Inode, change: AttributeChange, file?: LocalFile): number {
    const refusal = this.#refuseChange(node)
    if (refusal < 0) return refusal
    const fd = this.#table.descriptor(node)
    if (fd < 0) return fd
    const { mode, uid, gid, size } = change
    let result = 0
    if (uid !== undefined || gid !== undefined) {
      result = binding.fsChown(fd, uid ?? unchangedId, gid ?? unchangedId)
    }
    // After the owner, whose change clears the bits for set-user-id.
    if (result >= 0 && mode !== undefined) result = binding.fsChmod(fd, mode)
    if (result >= 0 && size !== undefined) result = this.#truncate(node, fd, size, file)
    if (result >= 0) result = setTimes(fd, change)
    return result
  }

  #truncate(node: Inode, fd: number, size: bigint, file: LocalFile | undefined): number {
    if (node.kind !== 'file') return node.kind === 'directory' ? failure.EISDIR : failure.EINVAL
    if (file?.isWritable) return binding.fsTruncate(file.fd, size, true)
    const result = binding.fsTruncate(fd, size, false)
    // A file can be open for writing although its mode forbids that by now. ftruncate(2) in a guest may come
    // without saying by which open file.
    const [writer] = (result === failure.EACCES && node.writers) || []
    return writer === undefined ? result : binding.fsTruncate(writer, size, true)
  }

  statfs(node: Inode, into: Uint8Array, at: number): number {
    const fd = this.#table.descriptor(node)
    return fd < 0 ? fd : binding.fsStatfs(fd, into, at)
  }

  readlink(node: Inode, into: Uint8Array, at: number, count: number): number {
    if (node.kind !== 'symlink') return failure.EINVAL
    const fd = this.#table.descriptor(node)
    return fd < 0 ? fd : binding.fsReadlink(fd, into, at, count)
  }

  open(node: Inode, flags: number): LocalFile | Failure {
    const refusal = this.#refuseOpen(node, flags)
    if (refusal < 0) return refusal
    const path = this.#table.descriptor(node)
    if (path < 0) return path
    node.openCount++ // before a descriptor is made: this node must keep its own
    const fd = this.#table.openDescriptor(() => binding.fsOpen(path, flags & allowedFlags))
    if (fd < 0) {
      node.openCount--
      return fd
    }
    this.retain(node)
    return this.#opened(node, fd, flags)
  }

  #opened(node: Inode, fd: number, flags: number): LocalFile {
    const file = new LocalFile(node, fd, flags)
    if (file.isWritable) {
      node.writers ??= new Set()
      node.writers.add(fd)
    }
    return file
  }

  #refuseOpen(node: Inode, flags: number): number {
    const access = flags & openFlag.accessMask
    if (access === openFlag.accessMask) return failure.EINVAL
    if (this.isReadOnly && (access !== openFlag.read || flags & openFlag.truncate)) return failure.EROFS
    switch (node.kind) {
      case 'file':
        return flags & openFlag.directory ? failure.ENOTDIR : 0
      case 'directory':
        return access === openFlag.read ? 0 : failure.EISDIR
      case 'symlink':
        return failure.ELOOP
      default:
        return node.type === characterDevice || node.type === blockDevice ? failure.EACCES : failure.ENXIO
    }
  }

  create(directory: Inode, name: ByteString, flags: number, mode: number): LocalFile | Failure {
    const directoryFd = this.#directoryForChange(directory)
    if (directoryFd < 0) return directoryFd
    const fd = this.#table.openDescriptor(() =>
      binding.fsCreate(directoryFd, name, flags & allowedFlags, mode),
    )
    if (fd === failure.EEXIST && !(flags & openFlag.exclusive))
      return this.#openExisting(directory, name, flags)
    if (fd < 0) return fd
    const path = this.#table.openDescriptor(() => binding.fsDuplicatePath(fd, this.#table.identity))
    if (path < 0) {
      this.#table.closeDescriptor(fd)
      return path
    }
    const node = this.#table.adopt(path, directory, name)
    node.openCount++
    return this.#opened(node, fd, flags)
  }

  #openExisting(directory: Inode, name: ByteString, flags: number): LocalFile | Failure {
    const node = this.lookup(directory, name)
    if (typeof node === 'number') return node
    const file = node.kind === 'directory' ? failure.EISDIR : this.open(node, flags)
    this.release(node)
    return file
  }

  close(file: LocalFile): void {
    if (file.isClosed) return
    file.isClosed = true
    this.#locks.closed(file)
    this.#closeIfIdle(file)
  }

  #closeIfIdle(file: LocalFile): void {
    if (!file.isClosed || file.pending > 0) return
    const { node } = file
    node.writers?.delete(file.fd)
    this.#table.closeDescriptor(file.fd)
    node.openCount--
    this.release(node)
  }

  read(file: LocalFile, into: Uint8Array, at: number, count: number, offset: bigint): number {
    const { device } = file.node
    if (device.kind === 'memory') return binding.fsRead(file.fd, into, at, count, offset, false)
    if (!device.canNowait) return failure.EAGAIN
    const result = binding.fsRead(file.fd, into, at, count, offset, true)
    if (result !== failure.EOPNOTSUPP) return result
    device.canNowait = false
    return failure.EAGAIN
  }

  readWaiting(file: LocalFile, into: Uint8Array, at: number, count: number, offset: bigint): Promise<number> {
    return this.#inThreadPool(file, binding.fsReadAsync(file.fd, into, at, count, offset))
  }

  write(file: LocalFile, from: Uint8Array, at: number, count: number, offset: bigint): number {
    if (file.node.isSynthetic) return failure.EAGAIN
    return binding.fsWrite(file.fd, from, at, count, offset)
  }

  writeWaiting(
    file: LocalFile,
    from: Uint8Array,
    at: number,
    count: number,
    offset: bigint,
  ): Promise<number> {
    return this.#inThreadPool(file, binding.fsWriteAsync(file.fd, from, at, count, offset))
  }

  sync(file: LocalFile, dataOnly: boolean): Promise<number> {
    return this.#inThreadPool(file, binding.fsSyncAsync(file.fd, dataOnly))
  }

  async #inThreadPool(file: LocalFile, work: Promise<number> | number): Promise<number> {
    file.pending++
    try {
      return await work
    } finally {
      file.pending--
      this.#closeIfIdle(file)
    }
  }

  readDirectory(file: LocalFile, cookie: bigint, into: Uint8Array, at: number, count: number): number {
    const { node } = file
    if (node.kind !== 'directory') return failure.ENOTDIR
    // The root's real parent is not the other side's business.
    const parent = (node.parent ?? node).id
    const version = node.isSynthetic ? 0 : 1
    return this.#exports.list(node, cookie, into, at, from =>
      binding.fsReaddir(file.fd, from, into, at, count, node.device.prefix, parent, version),
    )
  }

  makeDirectory(directory: Inode, name: ByteString, mode: number): Inode | Failure {
    return this.#make(directory, name, fd => binding.fsMkdir(fd, name, mode))
  }

  makeNode(directory: Inode, name: ByteString, mode: number, major: number, minor: number): Inode | Failure {
    return this.#make(directory, name, fd => binding.fsMknod(fd, name, mode, major, minor))
  }

  makeLink(directory: Inode, name: ByteString, target: ByteString): Inode | Failure {
    return this.#make(directory, name, fd => binding.fsSymlink(target, fd, name))
  }

  #make(directory: Inode, name: ByteString, make: (directoryFd: number) => number): Inode | Failure {
    const directoryFd = this.#directoryForChange(directory)
    if (directoryFd < 0) return directoryFd
    const result = make(directoryFd)
    return result < 0 ? result : this.lookup(directory, name)
  }

  link(node: Inode, directory: Inode, name: ByteString): number {
    const directoryFd = this.#directoryForChange(directory)
    if (directoryFd < 0) return directoryFd
    const fd = this.#table.descriptor(node)
    return fd < 0 ? fd : binding.fsLink(fd, directoryFd, name)
  }

  rename(from: Inode, fromName: ByteString, to: Inode, toName: ByteString): number {
    const fromFd = this.#directoryForChange(from)
    if (fromFd < 0) return fromFd
    const toFd = this.#directoryForChange(to)
    if (toFd < 0) return toFd
    const moved = this.#table.secure(from, fromFd, fromName)
    const replaced = this.#table.secure(to, toFd, toName)
    const result = binding.fsRename(fromFd, fromName, toFd, toName)
    // Two names of one file: POSIX has nothing renamed then.
    if (result === 0 && (moved === undefined || moved !== replaced)) {
      if (replaced?.parent === to && replaced.name === toName) this.#table.forgetName(replaced)
      if (moved !== undefined) this.#table.place(moved, to, toName)
    }
    if (moved !== undefined) this.release(moved)
    if (replaced !== undefined) this.release(replaced)
    return result
  }

  renameNode(node: Inode, to: Inode, toName: ByteString): number {
    return this.#byName(node, (parent, name) => this.rename(parent, name, to, toName))
  }

  unlink(directory: Inode, name: ByteString, isDirectory: boolean): number {
    const directoryFd = this.#directoryForChange(directory)
    if (directoryFd < 0) return directoryFd
    const removed = this.#table.secure(directory, directoryFd, name)
    const result = binding.fsUnlink(directoryFd, name, isDirectory)
    if (removed !== undefined) {
      if (result === 0 && removed.parent === directory && removed.name === name)
        this.#table.forgetName(removed)
      this.release(removed)
    }
    return result
  }

  unlinkNode(node: Inode): number {
    return this.#byName(node, (parent, name) => this.unlink(parent, name, node.kind === 'directory'))
  }

  /** Calls with the name the node was last seen under, if it still is the node's. */
  #byName(node: Inode, call: (parent: Inode, name: ByteString) => number): number {
    if (this.isReadOnly) return failure.EROFS
    const { parent, name } = node
    if (node === this.root) return failure.EBUSY
    if (parent === undefined) return failure.ESTALE
    const directoryFd = this.#table.descriptor(parent)
    if (directoryFd < 0) return directoryFd
    const current = this.#table.secure(parent, directoryFd, name)
    if (current !== undefined) this.release(current)
    return current === node ? call(parent, name) : failure.ESTALE
  }

  #directoryForChange(directory: Inode): number {
    const refusal = this.#refuseChange(directory)
    if (refusal < 0) return refusal
    return directory.kind === 'directory' ? this.#table.descriptor(directory) : failure.ENOTDIR
  }

  #refuseChange(node: Inode): number {
    if (this.isReadOnly) return failure.EROFS
    return this.#exports.isBare(node) ? failure.EACCES : 0
  }

  lock(file: LocalFile, owner: LockOwner, region: LockRegion): number {
    return this.#locks.lock(file, owner, region)
  }

  lockWaiting(file: LocalFile, owner: LockOwner, region: LockRegion): PendingLock {
    return this.#locks.lockWaiting(file, owner, region)
  }

  testLock(file: LocalFile, owner: LockOwner, region: LockRegion): LockHolder | undefined | Failure {
    return this.#locks.test(file, owner, region)
  }

  getXattr(node: Inode, name: ByteString): Uint8Array | Failure {
    if (!name.startsWith(userPrefix))
      return name.startsWith('security.') ? failure.ENODATA : failure.EOPNOTSUPP
    return this.#fetch(node, (fd, into) => binding.fsGetXattr(fd, name, into))
  }

  listXattrs(node: Inode): Uint8Array | Failure {
    const list = this.#fetch(node, (fd, into) => binding.fsListXattr(fd, into))
    if (list === failure.EOPNOTSUPP || list === failure.ENODATA) return new Uint8Array()
    if (typeof list === 'number') return list
    const names = Buffer.from(list).toString('latin1').split('\0')
    const visible = names.filter(name => name.startsWith(userPrefix)).map(name => `${name}\0`)
    return Buffer.from(visible.join(''), 'latin1')
  }

  #fetch(node: Inode, call: (fd: number, into: Uint8Array) => number): Uint8Array | Failure {
    if (this.#exports.isBare(node)) return failure.ENODATA
    const fd = this.#table.descriptor(node)
    if (fd < 0) return fd
    const size = call(fd, new Uint8Array())
    if (size <= 0) return size < 0 ? size : new Uint8Array()
    const into = new Uint8Array(maxXattrSize)
    const length = call(fd, into)
    return length < 0 ? length : into.slice(0, length)
  }

  setXattr(node: Inode, name: ByteString, value: Uint8Array, flags: number): number {
    const fd = this.#forXattrChange(node, name)
    return fd < 0 ? fd : binding.fsSetXattr(fd, name, value, flags)
  }

  removeXattr(node: Inode, name: ByteString): number {
    const fd = this.#forXattrChange(node, name)
    return fd < 0 ? fd : binding.fsRemoveXattr(fd, name)
  }

  #forXattrChange(node: Inode, name: ByteString): number {
    const refusal = this.#refuseChange(node)
    if (refusal < 0) return refusal
    // `security.` and `trusted.` attributes mean something to this machine that a guest has no say in.
    if (!name.startsWith(userPrefix)) return failure.EOPNOTSUPP
    return this.#table.descriptor(node)
  }

  get opensEverything(): boolean {
    return isCapable(capability.dacOverride) && isAmongAllUsers()
  }

  watch(onChange: (change: TreeChange) => void): TreeWatcher | undefined {
    const descriptorOf = (directory: Inode) => this.#table.descriptor(directory)
    const tell = (change: TreeChange) => this.#exports.tells(change) && onChange(change)
    return openLocalWatcher(descriptorOf, tell, this.#options.maxWatched)
  }

  dispose(): void {
    this.#table.dispose()
  }
}

function nanosecondsOf(time: Time | 'now' | undefined): number {
  return time === undefined ? utimeOmit : time === 'now' ? utimeNow : time.nanoseconds
}

function secondsOf(time: Time | 'now' | undefined): number {
  return typeof time === 'object' ? time.seconds : 0
}

function setTimes(fd: number, { accessTime, modificationTime, size }: AttributeChange): number {
  if (accessTime === undefined && modificationTime === undefined) return 0
  const result = binding.fsUtimes(
    fd,
    secondsOf(accessTime),
    nanosecondsOf(accessTime),
    secondsOf(modificationTime),
    nanosecondsOf(modificationTime),
  )
  // O_TRUNC asks for the size and "modified now". Whoever may write the file may do the first, but only its owner
  // may set one time alone; the first has set it already.
  const wasTruncated = size !== undefined && modificationTime === 'now' && accessTime === undefined
  return wasTruncated && (result === failure.EPERM || result === failure.EACCES) ? 0 : result
}
