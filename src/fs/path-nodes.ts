// The files that PathTree knows. One is found by device and inode number, and reached by the name under which it
// was last seen in its parent, after a look at every directory on the way whether it is still the same. Used by
// path-tree.ts only.

import fs from 'node:fs'
import { SystemError } from '../errors.js'
import { errnoDescription, errnoName } from '../linux/errno.js'
import { DeviceTable, fileId } from './device.js'
import { type Failure, failure } from './failure.js'
import { attempt, bytes, modeTypeMask, status, systemFlags } from './path-system.js'
import { breakRing } from './ring.js'
import { type ByteString, type FileKind, type OpenFile, openFlag, type TreeNode } from './tree.js'

const kinds = new Map<number, FileKind>([
  [0o100000, 'file'],
  [0o040000, 'directory'],
  [0o120000, 'symlink'],
])

/** One file. Without a parent it is the root, or has no name that is known. */
export class PathNode implements TreeNode {
  readonly isSynthetic = false
  readonly kind: FileKind
  parent: PathNode | undefined
  name: ByteString = ''
  /** References: of those who got it, of its open files, and of its children. */
  references = 0
  readonly files = new Set<PathFile>()

  constructor(
    readonly id: bigint,
    readonly type: number,
    readonly dev: bigint,
    readonly ino: bigint,
  ) {
    this.kind = kinds.get(type) ?? 'other'
  }

  /** Times of birth are not compared: macOS changes them when a file is given an earlier time. */
  is(stats: fs.BigIntStats): boolean {
    return stats.dev === this.dev && stats.ino === this.ino && typeOf(stats) === this.type
  }
}

/** An open file or directory. */
export class PathFile implements OpenFile {
  isClosed = false
  /** Calls under way in the thread pool. */
  pending = 0
  /** Of a directory: what was in it when it was last read from the start. */
  names: readonly ByteString[] | undefined

  constructor(
    readonly node: PathNode,
    readonly fd: number,
    readonly flags: number,
  ) {}

  get isWritable(): boolean {
    return (this.flags & openFlag.accessMask) !== openFlag.read
  }
}

export interface Place {
  readonly path: ByteString
  readonly stats: fs.BigIntStats
}

export class PathTable {
  readonly root: PathNode
  /** Without links, and without the slash of `/`. */
  readonly #rootPath: ByteString
  readonly #nodes = new Map<bigint, PathNode>()
  readonly #devices = new DeviceTable()

  /** Throws a SystemError when `localPath` is no directory. */
  constructor(localPath: string) {
    const real = attempt(() => fs.realpathSync.native(localPath, 'buffer').toString('latin1'))
    const stats = typeof real === 'number' ? real : status(real)
    if (typeof real === 'number' || typeof stats === 'number') throw cannotOpen(stats as Failure, localPath)
    if (!stats.isDirectory()) throw cannotOpen(failure.ENOTDIR, localPath)
    this.#rootPath = real === '/' ? '' : real
    this.root = this.#insert(stats)
    this.root.references = 1
  }

  get size(): number {
    return this.#nodes.size
  }

  /** Where the node is; ESTALE when it, or a directory above it, is not where it was seen last. */
  find(node: PathNode): Place | Failure {
    const way: PathNode[] = []
    for (let next = node; next !== this.root; next = next.parent) {
      if (next.parent === undefined) return failure.ESTALE
      way.push(next)
    }
    let path = this.#rootPath
    let stats = status(path || '/')
    for (let next: PathNode | undefined = this.root; ; ) {
      if (typeof stats === 'number') return isMissing(stats) ? failure.ESTALE : stats
      if (!next.is(stats)) return failure.ESTALE
      next = way.pop()
      if (next === undefined) return { path, stats }
      path += `/${next.name}`
      stats = status(path)
    }
  }

  /** A descriptor of the node, and of nothing that took its place. */
  open(node: PathNode, flags: number): number {
    const place = this.find(node)
    if (typeof place === 'number') return place
    const fd = attempt(() => fs.openSync(bytes(place.path || '/'), systemFlags(flags)))
    if (fd < 0) return fd
    const stats = attempt(() => fs.fstatSync(fd, { bigint: true }))
    if (typeof stats !== 'number' && node.is(stats)) return fd
    fs.closeSync(fd)
    return failure.ESTALE
  }

  idOf({ dev, ino }: fs.BigIntStats): bigint {
    const device = this.#devices.known(dev) ?? this.#devices.add(dev, 0)
    return fileId(device.prefix, BigInt.asUintN(64, ino))
  }

  /** The node in use that has these numbers. */
  known(stats: fs.BigIntStats): PathNode | undefined {
    const node = this.#nodes.get(this.idOf(stats))
    return node?.is(stats) ? node : undefined
  }

  /** The node of what was just seen under that name, with one more reference. */
  adopt(stats: fs.BigIntStats, parent: PathNode, name: ByteString): PathNode {
    const node = this.known(stats) ?? this.#insert(stats)
    node.references++
    this.place(node, parent, name)
    return node
  }

  #insert(stats: fs.BigIntStats): PathNode {
    const node = new PathNode(this.idOf(stats), typeOf(stats), stats.dev, stats.ino)
    this.#nodes.set(node.id, node)
    return node
  }

  /** Records where the node was last seen. */
  place(node: PathNode, parent: PathNode, name: ByteString): void {
    if (node === this.root || !breakRing(node, parent, above => this.forgetName(above))) return
    const before = node.parent
    parent.references++
    node.parent = parent
    node.name = name
    if (before !== undefined) this.release(before)
  }

  forgetName(node: PathNode): void {
    const { parent } = node
    node.parent = undefined
    node.name = ''
    if (parent !== undefined) this.release(parent)
  }

  /** The file is no more: another one may get its inode number. */
  retire(node: PathNode): void {
    if (this.#nodes.get(node.id) === node) this.#nodes.delete(node.id)
  }

  release(node: PathNode): void {
    for (
      let last: PathNode | undefined = node;
      last !== undefined && last !== this.root;
      last = last.parent
    ) {
      if (--last.references > 0) return
      this.retire(last)
    }
  }
}

function typeOf(stats: fs.BigIntStats): number {
  return Number(stats.mode) & modeTypeMask
}

function isMissing(result: Failure): boolean {
  return result === failure.ENOENT || result === failure.ENOTDIR
}

function cannotOpen(result: Failure, localPath: string): SystemError {
  return new SystemError(errnoName(-result), result, errnoDescription(-result), 'open', localPath)
}
