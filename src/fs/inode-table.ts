// The inodes in use and their descriptors. An inode is found by device and inode number and holds an O_PATH
// descriptor, so it stays the same file whatever happens to its name. Descriptors are finite: above a bound the
// inodes that are not open give theirs up, the longest unused first, and are found again by parent and name. Used
// by local-tree.ts only.

import { binding, check } from '../native/binding.js'
import { type Device, DeviceTable, fileId } from './device.js'
import { failure } from './failure.js'
import type { ByteString, FileKind, TreeNode } from './tree.js'
import { statfsRecordSize } from './tree.js'

const modeTypeMask = 0o170000
const kinds = new Map<number, FileKind>([
  [0o100000, 'file'],
  [0o040000, 'directory'],
  [0o120000, 'symlink'],
])

/** One file. Without a parent it has no name that is known: it is the root, or was removed, and keeps its descriptor. */
export class Inode implements TreeNode {
  parent: Inode | undefined
  name: ByteString = ''
  /** O_PATH descriptor, -1 while it is given up. */
  fd = -1
  /** References: of those who got it, of its open files, and of its children. */
  references = 0
  openCount = 0
  /** Descriptors of its files that are open for writing, if ever there was one. */
  writers: Set<number> | undefined
  /** When it was last used, in calls. */
  used = 0

  constructor(
    readonly id: bigint,
    readonly type: number,
    readonly kind: FileKind,
    readonly dev: bigint,
    readonly ino: bigint,
    /** Time of birth as the addon writes it, 0 where the file system has none: inode numbers are used again. */
    readonly birth: bigint,
    readonly device: Device,
  ) {}

  get isSynthetic(): boolean {
    return this.device.kind === 'synthetic'
  }
}

/** How many of the last used inodes an eviction leaves alone: one call needs at most a few at once. */
const recentlyUsed = 8
/** Directories below each other, as many as a path of PATH_MAX can name. */
const maxDepth = 2048

export class InodeTable {
  readonly root: Inode
  readonly #inodes = new Map<bigint, Inode>()
  /** Those with a descriptor. */
  readonly #held = new Set<Inode>()
  readonly #devices = new DeviceTable()
  readonly #bound: number
  #descriptors = 0
  #clock = 0
  // The addon's answers: dev8 ino8 mode4 birth8.
  readonly #identity = new DataView(new ArrayBuffer(28))
  readonly identity = new Uint8Array(this.#identity.buffer)

  /** Opens `localPath`, or throws a SystemError. `bound` is of descriptors, of inodes and of open files. */
  constructor(localPath: string, bound: number) {
    this.#bound = Math.max(bound, 2 * recentlyUsed)
    const path = Buffer.from(localPath).toString('latin1')
    const fd = check(binding.fsOpenRoot(path, this.identity), 'open', localPath)
    this.#descriptors++
    this.root = this.#insert(fd)
    this.root.references = 1
  }

  /** Inodes in use, and descriptors of inodes and open files. */
  get size(): { inodes: number; descriptors: number } {
    return { inodes: this.#inodes.size, descriptors: this.#descriptors }
  }

  /**
   * Makes a descriptor by `open`, which must return one or a failure, after making room for it. Every descriptor
   * goes back with `closeDescriptor`. ENFILE when all are in use.
   */
  openDescriptor(open: () => number): number {
    if (this.#descriptors >= this.#bound && this.#evict() === 0) return failure.ENFILE
    let fd = open()
    if ((fd === failure.EMFILE || fd === failure.ENFILE) && this.#evict() > 0) fd = open()
    if (fd >= 0) this.#descriptors++
    return fd
  }

  closeDescriptor(fd: number): void {
    this.#descriptors--
    binding.fsClose(fd)
  }

  /** The inode's descriptor, found again if it was given up; ESTALE when another file has its name now. */
  descriptor(inode: Inode): number {
    inode.used = ++this.#clock
    if (inode.fd >= 0) return inode.fd
    // From the nearest directory above that has one, down again.
    const path: Inode[] = []
    let above: Inode | undefined = inode
    for (; above !== undefined && above.fd < 0; above = above.parent) path.push(above)
    if (above === undefined) return failure.ESTALE
    let fd = above.fd
    while (path.length > 0) {
      fd = this.#reopen(path.pop()!)
      if (fd < 0) return fd
    }
    return fd
  }

  #reopen(inode: Inode): number {
    const { parent } = inode
    if (parent === undefined || parent.fd < 0) return failure.ESTALE
    // Only for now: a long way down must not use up the time that other descriptors of this call are safe for.
    const { used } = parent
    parent.used = this.#clock
    const fd = this.openDescriptor(() => binding.fsLookup(parent.fd, inode.name, this.identity))
    parent.used = used
    if (fd < 0) return fd === failure.ENOENT || fd === failure.ENOTDIR ? failure.ESTALE : fd
    if (!this.#isCurrent(inode)) {
      this.closeDescriptor(fd)
      return failure.ESTALE
    }
    this.#hold(inode, fd)
    return fd
  }

  /** Whether one more directory may be opened below that one: ENAMETOOLONG where no path leads to. */
  depthBelow(directory: Inode): number {
    let depth = 0
    for (let above: Inode | undefined = directory; above !== undefined; above = above.parent) {
      if (++depth >= maxDepth) return failure.ENAMETOOLONG
    }
    return depth
  }

  /** The inode, with one more reference, of the descriptor whose identity was just read; takes the descriptor over. */
  adopt(fd: number, parent: Inode, name: ByteString): Inode {
    let inode = this.#found()
    if (inode === undefined) inode = this.#insert(fd)
    else if (inode.fd < 0) this.#hold(inode, fd)
    else this.closeDescriptor(fd)
    inode.references++
    inode.used = ++this.#clock
    this.place(inode, parent, name)
    return inode
  }

  /**
   * The inode in use that has that name now, with one more reference and its descriptor held, so that it survives
   * the loss of the name.
   */
  secure(directory: Inode, directoryFd: number, name: ByteString): Inode | undefined {
    if (binding.fsIdentify(directoryFd, name, this.identity) < 0) return undefined
    const inode = this.#found()
    if (inode === undefined) return undefined
    if (inode.fd < 0) {
      this.place(inode, directory, name)
      if (this.descriptor(inode) < 0) return undefined
    }
    inode.references++
    return inode
  }

  /** Records where the inode was last seen. */
  place(inode: Inode, parent: Inode, name: ByteString): void {
    if (inode === this.root || (inode.parent === parent && inode.name === name)) return
    // What is recorded may be out of date where others moved directories about: never let it become a ring.
    let above: Inode | undefined = inode.kind === 'directory' ? parent : undefined
    for (; above !== undefined; above = above.parent) {
      if (above === inode) return
      if (above.parent === inode) {
        this.forgetName(above)
        break
      }
    }
    const before = inode.parent
    parent.references++
    inode.parent = parent
    inode.name = name
    if (before !== undefined) this.release(before)
  }

  /** The inode's name is gone: from now on only its descriptor leads to it. */
  forgetName(inode: Inode): void {
    const { parent } = inode
    inode.parent = undefined
    inode.name = ''
    if (parent !== undefined) this.release(parent)
  }

  release(inode: Inode): void {
    for (let last: Inode | undefined = inode; last !== undefined; ) {
      if (--last.references > 0 || last === this.root) return
      if (this.#inodes.get(last.id) === last) this.#inodes.delete(last.id)
      this.#drop(last)
      last = last.parent
    }
  }

  dispose(): void {
    for (const inode of this.#held) this.#drop(inode)
    this.#inodes.clear()
  }

  /** The inode in use whose identity was just read. */
  #found(): Inode | undefined {
    const device = this.#devices.known(this.#identity.getBigUint64(0, true))
    if (device === undefined) return undefined
    const inode = this.#inodes.get(fileId(device.prefix, this.#identity.getBigUint64(8, true)))
    return inode !== undefined && this.#isCurrent(inode) ? inode : undefined
  }

  /** Whether the identity just read is that of the inode, and not of a later file with its number. */
  #isCurrent(inode: Inode): boolean {
    return (
      this.#identity.getBigUint64(8, true) === inode.ino &&
      this.#identity.getBigUint64(0, true) === inode.dev &&
      (this.#identity.getUint32(16, true) & modeTypeMask) === inode.type &&
      this.#identity.getBigUint64(20, true) === inode.birth
    )
  }

  #insert(fd: number): Inode {
    const dev = this.#identity.getBigUint64(0, true)
    const ino = this.#identity.getBigUint64(8, true)
    const type = this.#identity.getUint32(16, true) & modeTypeMask
    const birth = this.#identity.getBigUint64(20, true)
    const device = this.#devices.known(dev) ?? this.#devices.add(dev, statfsType(fd))
    const id = fileId(device.prefix, ino)
    const inode = new Inode(id, type, kinds.get(type) ?? 'other', dev, ino, birth, device)
    this.#inodes.set(id, inode)
    this.#hold(inode, fd)
    return inode
  }

  #hold(inode: Inode, fd: number): void {
    inode.fd = fd
    this.#held.add(inode)
  }

  #drop(inode: Inode): void {
    if (inode.fd < 0) return
    this.closeDescriptor(inode.fd)
    inode.fd = -1
    this.#held.delete(inode)
  }

  /** Takes descriptors from an eighth of the inodes that can do without; how many. */
  #evict(): number {
    const oldest = [...this.#held].filter(
      inode =>
        inode.parent !== undefined && inode.openCount === 0 && inode.used <= this.#clock - recentlyUsed,
    )
    oldest.sort((a, b) => a.used - b.used)
    const victims = oldest.slice(0, Math.max(1, this.#bound >> 3))
    for (const inode of victims) this.#drop(inode)
    return victims.length
  }
}

function statfsType(fd: number): number {
  const record = Buffer.alloc(statfsRecordSize)
  return binding.fsStatfs(fd, record, 0) < 0 ? 0 : record.readUInt32LE(0)
}
