// The inodes in use and their descriptors. An inode is found by device and inode number and holds an O_PATH
// descriptor, so it stays the same file whatever happens to its name. Descriptors are finite: above a bound the
// inodes that are not open give theirs up, the longest unused first, and are found again by parent and name. Used
// by local-tree.ts only.

import { binding, check } from '../native/binding.js'
import { type Device, DeviceTable, fileId } from './device.js'
import { failure } from './failure.js'
import { IdleFiles } from './idle-files.js'
import { breakRing } from './ring.js'
import type { ByteString, FileKind, TreeNode } from './tree.js'
import { statfsRecordSize } from './tree.js'

const modeTypeMask = 0o170000
const kinds = new Map<number, FileKind>([
  [0o100000, 'file'],
  [0o040000, 'directory'],
  [0o120000, 'symlink'],
])

/** A bigint only where a number would not be exact: bigints cost more than the rest of a look-up. */
type InodeNumber = number | bigint

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
    readonly dev: number,
    readonly ino: InodeNumber,
    /** Time of birth as the addon writes it, 0 where the file system has none: inode numbers are used again. */
    readonly birth: number,
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

/** Descriptors of this process that tables may use, and how many they do. */
export class DescriptorBudget {
  used = 0

  constructor(readonly limit: number) {}
}

export class InodeTable {
  readonly root: Inode
  readonly idleFiles = new IdleFiles()
  /** By `keyOf`. */
  readonly #inodes = new Map<number | bigint, Inode>()
  /** Those with a descriptor. */
  readonly #held = new Set<Inode>()
  readonly #devices = new DeviceTable()
  readonly #budget: DescriptorBudget
  readonly #isShare: boolean
  #descriptors = 0
  #clock = 0
  // The addon's answers: dev4 mode4 ino8 birth8.
  readonly #identity = new DataView(new ArrayBuffer(24))
  readonly identity = new Uint8Array(this.#identity.buffer)

  /**
   * Opens `localPath`, or throws a SystemError. Descriptors are those of inodes and of open files; a table that
   * `isShare` takes no more of them than it leaves for all others.
   */
  constructor(localPath: string, budget: DescriptorBudget, isShare = false) {
    this.#budget = budget
    this.#isShare = isShare
    const path = Buffer.from(localPath).toString('latin1')
    const fd = check(binding.fsOpenRoot(path, this.identity), 'open', localPath)
    this.#opened()
    this.root = this.#insert(fd)
    this.root.references = 1
  }

  /** How many descriptors it may have now. */
  get #bound(): number {
    const { limit, used } = this.#budget
    const bound = this.#isShare ? (limit - used + this.#descriptors) >> 1 : limit
    return Math.max(bound, 2 * recentlyUsed)
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
    if (this.#descriptors >= this.#bound && !this.#makeRoom()) return failure.ENFILE
    let fd = open()
    if ((fd === failure.EMFILE || fd === failure.ENFILE) && this.#makeRoom()) fd = open()
    if (fd >= 0) this.#opened()
    return fd
  }

  #makeRoom(): boolean {
    return this.#evict() > 0 || this.idleFiles.giveUp()
  }

  #opened(): void {
    this.#descriptors++
    this.#budget.used++
  }

  closeDescriptor(fd: number): void {
    this.#descriptors--
    this.#budget.used--
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
    if (inode.kind === 'directory' && !breakRing(inode, parent, above => this.forgetName(above))) return
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
      const key = keyOf(last.device, last.ino)
      if (this.#inodes.get(key) === last) this.#inodes.delete(key)
      this.#drop(last)
      last = last.parent
    }
  }

  dispose(): void {
    for (const inode of this.#held) this.#drop(inode)
    this.#inodes.clear()
  }

  get #dev(): number {
    return this.#identity.getUint32(0, true)
  }

  get #type(): number {
    return this.#identity.getUint32(4, true) & modeTypeMask
  }

  get #ino(): InodeNumber {
    const high = this.#identity.getUint32(12, true)
    if (high >= 1 << 21) return this.#identity.getBigUint64(8, true)
    return high * 2 ** 32 + this.#identity.getUint32(8, true)
  }

  get #birth(): number {
    return this.#identity.getFloat64(16, true)
  }

  /** The inode in use whose identity was just read. */
  #found(): Inode | undefined {
    const device = this.#devices.known(this.#dev)
    if (device === undefined) return undefined
    const inode = this.#inodes.get(keyOf(device, this.#ino))
    return inode !== undefined && this.#isCurrent(inode) ? inode : undefined
  }

  /** Whether the identity just read is that of the inode, and not of a later file with its number. */
  #isCurrent(inode: Inode): boolean {
    return (
      this.#ino === inode.ino &&
      this.#dev === inode.dev &&
      this.#type === inode.type &&
      this.#birth === inode.birth
    )
  }

  #insert(fd: number): Inode {
    const dev = this.#dev
    const ino = this.#ino
    const type = this.#type
    const device = this.#devices.known(dev) ?? this.#devices.add(dev, statfsType(fd))
    const id = fileId(device.prefix, this.#identity.getBigUint64(8, true))
    const inode = new Inode(id, type, kinds.get(type) ?? 'other', dev, ino, this.#birth, device)
    this.#inodes.set(keyOf(device, ino), inode)
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

/** As unique as `fileId`, and a number wherever that is exact. */
function keyOf({ index, prefix }: Device, ino: InodeNumber): number | bigint {
  return index < 32 && ino < 2 ** 48 ? index * 2 ** 48 + Number(ino) : fileId(prefix, BigInt(ino))
}

function statfsType(fd: number): number {
  const record = Buffer.alloc(statfsRecordSize)
  return binding.fsStatfs(fd, record, 0) < 0 ? 0 : record.readUInt32LE(0)
}
