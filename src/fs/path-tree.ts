// A FileTree for systems without the addon's calls (macOS), by paths and node:fs alone. It does what LocalTree does
// as far as Node can: no FIFOs, sockets, devices, extended attributes or hard links to links are made, locks are this
// tree's own, times are kept to the microsecond, a file that was removed can be used where it is open but not be
// opened again.
//
// What is served stays below the root by three checks: a name is one component; a path is built anew for each call,
// and every directory on it must be the one that was walked through, and no link (path-nodes.ts); what was opened
// must be the file that was meant, by device and inode number, and reads, writes and cuts go through that
// descriptor. The calls of one tree are never at the same time, so no client can get between the check of a path and
// its use. A second process on this machine that moves directories at the right microsecond can: it could have a name
// looked up, made, removed or listed, or an owner, mode or time set, in a directory elsewhere; on macOS, where
// open(2) refuses links in all of a path, nothing read or written there. That cannot be closed without calls that
// work relative to a descriptor, as LocalTree's do: where those are, this tree is not used.

import fs from 'node:fs'
import { Exports } from './exports.js'
import { type Failure, failure } from './failure.js'
import { type GiveUp, IdleFiles } from './idle-files.js'
import { changeAttributes, statsOf } from './path-attributes.js'
import { PathListings } from './path-listing.js'
import { PathLocks } from './path-locks.js'
import { PathFile, type PathNode, PathTable } from './path-nodes.js'
import {
  attempt,
  bytes,
  checkName,
  done,
  failureOf,
  modeTypeMask,
  permissionMask,
  putAttributes,
  putStatfs,
  status,
  systemFlags,
  toNumber,
} from './path-system.js'
import {
  type AttributeChange,
  type ByteString,
  type FileTree,
  type LockHolder,
  type LockOwner,
  type LockRegion,
  openFlag,
  type PendingLock,
} from './tree.js'

const regularFile = 0o100000
const characterDevice = 0o020000
const blockDevice = 0o060000
/** Below what systems allow a process, which has other descriptors too. */
const maxOpenFiles = 8192

export interface PathTreeOptions {
  readonly readOnly?: boolean
  /** Absolute paths from the root: all that is shown, with bare directories on the way; everything by default. */
  readonly only?: readonly ByteString[] | undefined
}

/** Serves `localPath`, a directory; throws a SystemError when it can not be opened. */
export function openPathTree(localPath: string, options: PathTreeOptions = {}): PathTree {
  return new PathTree(localPath, options)
}

export class PathTree implements FileTree {
  readonly isReadOnly: boolean
  readonly #table: PathTable
  readonly #locks = new PathLocks()
  readonly #files = new Set<PathFile>()
  readonly #idleFiles = new IdleFiles()
  readonly #listings: PathListings
  readonly #exports: Exports

  constructor(localPath: string, { readOnly = false, only = ['/'] }: PathTreeOptions) {
    this.isReadOnly = readOnly
    this.#table = new PathTable(localPath)
    this.#listings = new PathListings(this.#table)
    this.#exports = new Exports(this.#table.root, only)
  }

  get root(): PathNode {
    return this.#table.root
  }

  /** What is in use, for tests and reports. */
  get size(): { inodes: number; descriptors: number } {
    return { inodes: this.#table.size, descriptors: this.#files.size }
  }

  onShortage(giveUp: GiveUp): () => void {
    return this.#idleFiles.add(giveUp)
  }

  lookup(directory: PathNode, name: ByteString): PathNode | Failure {
    if (directory.kind !== 'directory') return failure.ENOTDIR
    if (name === '..') return this.#parent(directory)
    if (!this.#exports.shows(directory, name)) return failure.ENOENT
    const path = this.#pathBelow(directory, name)
    if (typeof path === 'number') return path
    const stats = status(path)
    if (typeof stats === 'number') return stats
    // A link put in the directory's place in between would have led elsewhere.
    const place = this.#table.find(directory)
    if (typeof place === 'number') return place
    const node = this.#table.adopt(stats, directory, name)
    if (this.#exports.found(directory, name, node)) return node
    this.release(node)
    return failure.ENOENT
  }

  #parent(directory: PathNode): PathNode | Failure {
    const parent = directory === this.root ? directory : directory.parent
    if (parent === undefined) return failure.ESTALE
    this.retain(parent)
    return parent
  }

  #path(node: PathNode): ByteString | Failure {
    const place = this.#table.find(node)
    return typeof place === 'number' ? place : place.path
  }

  #pathBelow(directory: PathNode, name: ByteString): ByteString | Failure {
    const error = checkName(name)
    if (error < 0) return error
    const path = this.#path(directory)
    return typeof path === 'number' ? path : `${path}/${name}`
  }

  /** The path of an entry that is to be made, moved or removed. */
  #pathForChange(directory: PathNode, name: ByteString): ByteString | Failure {
    const refusal = this.#refuseChange(directory)
    if (refusal < 0) return refusal
    return directory.kind === 'directory' ? this.#pathBelow(directory, name) : failure.ENOTDIR
  }

  #refuseChange(node: PathNode): number {
    if (this.isReadOnly) return failure.EROFS
    return this.#exports.isBare(node) ? failure.EACCES : 0
  }

  retain(node: PathNode): void {
    node.references++
  }

  release(node: PathNode): void {
    this.#table.release(node)
  }

  attributes(node: PathNode, into: Uint8Array, at: number): number {
    const stats = statsOf(this.#table, node)
    return typeof stats === 'number' ? stats : putAttributes(stats, into, at)
  }

  setAttributes(node: PathNode, change: AttributeChange, file?: PathFile): number {
    return this.#refuseChange(node) || changeAttributes(this.#table, node, change, file)
  }

  statfs(node: PathNode, into: Uint8Array, at: number): number {
    // By the directory: of a link, the answer would be about what it points at.
    const directory = node.kind === 'directory' ? node : node.parent
    const path = directory === undefined ? failure.ESTALE : this.#path(directory)
    if (typeof path === 'number') return path
    const stats = attempt(() => fs.statfsSync(bytes(path || '/'), { bigint: true }))
    return typeof stats === 'number' ? stats : putStatfs(stats, into, at)
  }

  readlink(node: PathNode, into: Uint8Array, at: number, count: number): number {
    if (node.kind !== 'symlink') return failure.EINVAL
    const path = this.#path(node)
    if (typeof path === 'number') return path
    const target = attempt(() => fs.readlinkSync(bytes(path), 'buffer'))
    return typeof target === 'number' ? target : target.copy(into, at, 0, Math.min(count, target.length))
  }

  open(node: PathNode, flags: number): PathFile | Failure {
    const refusal = this.#refuseOpen(node, flags)
    if (refusal < 0) return refusal
    const fd = this.#openDescriptor(() => this.#table.open(node, flags))
    if (fd < 0) return fd
    const result = flags & openFlag.truncate ? done(() => fs.ftruncateSync(fd)) : 0
    if (result < 0) {
      fs.closeSync(fd)
      return result
    }
    this.retain(node)
    return this.#add(new PathFile(node, fd, flags))
  }

  /** Makes room for a descriptor where there are too many. */
  #openDescriptor(open: () => number): number {
    if (this.#files.size >= maxOpenFiles && !this.#idleFiles.giveUp()) return failure.ENFILE
    const fd = open()
    return (fd === failure.EMFILE || fd === failure.ENFILE) && this.#idleFiles.giveUp() ? open() : fd
  }

  /** Takes over the reference to the node. */
  #add(file: PathFile): PathFile {
    this.#files.add(file)
    file.node.files.add(file)
    return file
  }

  #refuseOpen({ kind, type }: PathNode, flags: number): number {
    const access = flags & openFlag.accessMask
    if (access === openFlag.accessMask) return failure.EINVAL
    if (this.isReadOnly && (access !== openFlag.read || flags & openFlag.truncate)) return failure.EROFS
    switch (kind) {
      case 'file':
        return flags & openFlag.directory ? failure.ENOTDIR : 0
      case 'directory':
        return access === openFlag.read ? 0 : failure.EISDIR
      case 'symlink':
        return failure.ELOOP
      default:
        return type === characterDevice || type === blockDevice ? failure.EACCES : failure.ENXIO
    }
  }

  create(directory: PathNode, name: ByteString, flags: number, mode: number): PathFile | Failure {
    const path = this.#pathForChange(directory, name)
    if (typeof path === 'number') return path
    const { O_CREAT, O_EXCL } = fs.constants
    const permissions = mode & permissionMask
    const fd = this.#openDescriptor(() =>
      attempt(() => fs.openSync(bytes(path), systemFlags(flags) | O_CREAT | O_EXCL, permissions)),
    )
    if (fd === failure.EEXIST && !(flags & openFlag.exclusive))
      return this.#openExisting(directory, name, flags)
    if (fd < 0) return fd
    const stats = attempt(() => fs.fstatSync(fd, { bigint: true }))
    if (typeof stats === 'number') {
      fs.closeSync(fd)
      return stats
    }
    const file = this.#add(new PathFile(this.#table.adopt(stats, directory, name), fd, flags))
    this.#undoUmask(file.node, stats, permissions)
    return file
  }

  /** The umask that counts was applied on the other side; this process's must not be a second time. */
  #undoUmask(node: PathNode, stats: fs.BigIntStats, permissions: number): void {
    const given = Number(stats.mode) & permissionMask
    if ((permissions & ~given) !== 0) changeAttributes(this.#table, node, { mode: given | permissions })
  }

  #openExisting(directory: PathNode, name: ByteString, flags: number): PathFile | Failure {
    const node = this.lookup(directory, name)
    if (typeof node === 'number') return node
    const file = node.kind === 'directory' ? failure.EISDIR : this.open(node, flags)
    this.release(node)
    return file
  }

  close(file: PathFile): void {
    if (file.isClosed) return
    file.isClosed = true
    this.#locks.closed(file)
    this.#listings.forget(file)
    this.#closeIfIdle(file)
  }

  #closeIfIdle(file: PathFile): void {
    if (!file.isClosed || file.pending > 0) return
    this.#files.delete(file)
    file.node.files.delete(file)
    done(() => fs.closeSync(file.fd))
    this.release(file.node)
  }

  read(file: PathFile, into: Uint8Array, at: number, count: number, offset: bigint): number {
    return attempt(() => fs.readSync(file.fd, into, at, count, offset))
  }

  readWaiting(file: PathFile, into: Uint8Array, at: number, count: number, offset: bigint): Promise<number> {
    return this.#inThreadPool(file, finish => fs.read(file.fd, into, at, count, offset, finish))
  }

  write(file: PathFile, from: Uint8Array, at: number, count: number, offset: bigint): number {
    const position = writePosition(file, offset)
    if (position !== null && position < 0) return position
    return attempt(() => fs.writeSync(file.fd, from, at, count, position))
  }

  writeWaiting(file: PathFile, from: Uint8Array, at: number, count: number, offset: bigint): Promise<number> {
    const position = writePosition(file, offset)
    if (position !== null && position < 0) return Promise.resolve(position)
    return this.#inThreadPool(file, finish => fs.write(file.fd, from, at, count, position, finish))
  }

  sync(file: PathFile, dataOnly: boolean): Promise<number> {
    return this.#inThreadPool(file, finish =>
      dataOnly ? fs.fdatasync(file.fd, finish) : fs.fsync(file.fd, finish),
    )
  }

  #inThreadPool(
    file: PathFile,
    start: (finish: (error: Error | null, count?: number) => void) => void,
  ): Promise<number> {
    file.pending++
    return new Promise(resolve => {
      const settle = (result: number) => {
        file.pending--
        this.#closeIfIdle(file)
        resolve(result)
      }
      const refusal = done(() => start((error, count = 0) => settle(error ? failureOf(error) : count)))
      if (refusal < 0) settle(refusal)
    })
  }

  readDirectory(file: PathFile, cookie: bigint, into: Uint8Array, at: number, count: number): number {
    return file.node.kind === 'directory'
      ? this.#exports.list(file.node, cookie, into, at, from =>
          this.#listings.read(file, from, into, at, count),
        )
      : failure.ENOTDIR
  }

  makeDirectory(directory: PathNode, name: ByteString, mode: number): PathNode | Failure {
    const permissions = mode & permissionMask
    const node = this.#make(directory, name, path => {
      fs.mkdirSync(path, permissions)
    })
    if (typeof node === 'number') return node
    const stats = statsOf(this.#table, node)
    if (typeof stats !== 'number') this.#undoUmask(node, stats, permissions)
    return node
  }

  /** Only regular files: Node has no call for others. */
  makeNode(directory: PathNode, name: ByteString, mode: number): PathNode | Failure {
    if (this.isReadOnly) return failure.EROFS
    const type = mode & modeTypeMask
    if (type !== regularFile && type !== 0) return checkName(name) || failure.EPERM
    const file = this.create(directory, name, openFlag.write | openFlag.exclusive, mode)
    if (typeof file === 'number') return file
    this.retain(file.node)
    this.close(file)
    return file.node
  }

  makeLink(directory: PathNode, name: ByteString, target: ByteString): PathNode | Failure {
    return this.#make(directory, name, path => fs.symlinkSync(bytes(target), path))
  }

  #make(directory: PathNode, name: ByteString, make: (path: Buffer) => void): PathNode | Failure {
    const path = this.#pathForChange(directory, name)
    if (typeof path === 'number') return path
    const result = done(() => make(bytes(path)))
    return result < 0 ? result : this.lookup(directory, name)
  }

  link(node: PathNode, directory: PathNode, name: ByteString): number {
    const path = this.#pathForChange(directory, name)
    if (typeof path === 'number') return path
    // link(2) of macOS would link what a link points at.
    if (node.kind === 'directory' || node.kind === 'symlink') return failure.EPERM
    const existing = this.#path(node)
    return typeof existing === 'number' ? existing : done(() => fs.linkSync(bytes(existing), bytes(path)))
  }

  rename(from: PathNode, fromName: ByteString, to: PathNode, toName: ByteString): number {
    const fromPath = this.#pathForChange(from, fromName)
    if (typeof fromPath === 'number') return fromPath
    const toPath = this.#pathForChange(to, toName)
    if (typeof toPath === 'number') return toPath
    const moved = status(fromPath)
    if (typeof moved === 'number') return moved
    const replaced = status(toPath)
    const result = done(() => fs.renameSync(bytes(fromPath), bytes(toPath)))
    if (result < 0) return result
    if (typeof replaced !== 'number') {
      // Two names of one file: POSIX has nothing renamed then.
      if (moved.ino === replaced.ino && moved.dev === replaced.dev) return 0
      this.#lostName(replaced, to, toName)
    }
    const node = this.#table.known(moved)
    if (node !== undefined) this.#table.place(node, to, toName)
    return 0
  }

  renameNode(node: PathNode, to: PathNode, toName: ByteString): number {
    return this.#byName(node, (parent, name) => this.rename(parent, name, to, toName))
  }

  unlink(directory: PathNode, name: ByteString, isDirectory: boolean): number {
    const path = this.#pathForChange(directory, name)
    if (typeof path === 'number') return path
    const stats = status(path)
    if (typeof stats === 'number') return stats
    // Said here: unlink(2) of macOS answers otherwise, or removes directories.
    if (stats.isDirectory() !== isDirectory) return isDirectory ? failure.ENOTDIR : failure.EISDIR
    const result = done(() => (isDirectory ? fs.rmdirSync(bytes(path)) : fs.unlinkSync(bytes(path))))
    if (result === 0) this.#lostName(stats, directory, name)
    return result
  }

  /** A file, as it was before, has lost that name, and is gone if it was the last. */
  #lostName(stats: fs.BigIntStats, directory: PathNode, name: ByteString): void {
    const node = this.#table.known(stats)
    if (node === undefined) return
    if (stats.isDirectory() || stats.nlink <= 1n) this.#table.retire(node)
    if (node.parent === directory && node.name === name) this.#table.forgetName(node)
  }

  unlinkNode(node: PathNode): number {
    return this.#byName(node, (parent, name) => this.unlink(parent, name, node.kind === 'directory'))
  }

  /** Calls with the name the node was last seen under, if it still is the node's. */
  #byName(node: PathNode, call: (parent: PathNode, name: ByteString) => number): number {
    if (this.isReadOnly) return failure.EROFS
    if (node === this.root) return failure.EBUSY
    const path = this.#path(node)
    if (typeof path === 'number') return path
    return node.parent === undefined ? failure.ESTALE : call(node.parent, node.name)
  }

  lock(file: PathFile, owner: LockOwner, region: LockRegion): number {
    return this.#locks.lock(file, owner, region)
  }

  lockWaiting(file: PathFile, owner: LockOwner, region: LockRegion): PendingLock {
    return this.#locks.lockWaiting(file, owner, region)
  }

  testLock(file: PathFile, owner: LockOwner, region: LockRegion): LockHolder | undefined {
    return this.#locks.test(file, owner, region)
  }

  /** Node has no calls for extended attributes. */
  getXattr(): Failure {
    return failure.EOPNOTSUPP
  }

  listXattrs(): Uint8Array {
    return new Uint8Array()
  }

  setXattr(): number {
    return this.isReadOnly ? failure.EROFS : failure.EOPNOTSUPP
  }

  removeXattr(): number {
    return this.isReadOnly ? failure.EROFS : failure.EOPNOTSUPP
  }

  dispose(): void {
    for (const file of [...this.#files]) this.close(file)
  }
}

/** null is the end of a file that is appended to: not every pwrite(2) goes there by itself. */
function writePosition(file: PathFile, offset: bigint): number | null {
  const position = toNumber(offset)
  return position >= 0 && file.flags & openFlag.append ? null : position
}
