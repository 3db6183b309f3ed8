// Advisory locks, and waiting for them without parking a thread. What one owner has locked of one file is held by
// an open file of its own (F_OFD_SETLK): so the kernel keeps owners apart, those of this tree and all others on
// this machine, and one owner's files are not in each other's way. Someone waiting tries again when a lock of this
// tree on the same file ends, and from time to time, since other processes tell nobody. Used by local-tree.ts only.

import { binding } from '../native/binding.js'
import { type Failure, failure } from './failure.js'
import type { Inode, InodeTable } from './inode-table.js'
import type { LocalFile } from './open-file.js'
import {
  type LockHolder,
  type LockOwner,
  type LockRegion,
  type LockType,
  openFlag,
  type PendingLock,
} from './tree.js'

// F_RDLCK, F_WRLCK, F_UNLCK of asm-generic/fcntl.h
const lockTypes: Readonly<Record<LockType, number>> = { read: 0, write: 1, unlock: 2 }
const lockNames = ['read', 'write', 'unlock'] as const

const firstRetryMs = 5
const lastRetryMs = 100
/** Bounds the kernel's list of locks, which it searches from end to end. */
const maxBoundaries = 16_384

/** One owner's locks on one file. */
interface Holder {
  readonly fd: number
  /** Otherwise the kernel gives it no lock that excludes others, and flock(2) stands in. */
  readonly isWritable: boolean
  /** Where locks began or ended since it had none: it has at most as many. */
  readonly boundaries: Set<bigint>
  /** By way of which it has locked. */
  readonly files: Set<LocalFile>
}

interface Waiter {
  readonly file: LocalFile
  /** Tries once more; whether that was the end of it. */
  attempt(): boolean
  finish(result: number): void
}

export class Locks {
  readonly #table: InodeTable
  readonly #isReadOnly: boolean
  readonly #holders = new Map<Inode, Map<LockOwner, Holder>>()
  readonly #waiters = new Map<Inode, Set<Waiter>>()
  readonly #freed = new Set<Inode>()
  readonly #record = new DataView(new ArrayBuffer(24))
  #waiting = 0
  #boundaries = 0

  constructor(table: InodeTable, isReadOnly: boolean) {
    this.#table = table
    this.#isReadOnly = isReadOnly
  }

  /** EAGAIN when another owner is in the way, ENOLCK when there are too many. */
  lock(file: LocalFile, owner: LockOwner, region: LockRegion): number {
    if (region.type === 'unlock') return this.#unlock(file.node, owner, region)
    const holder = this.#holder(file.node, owner)
    if (typeof holder === 'number') return holder
    const result = this.#apply(holder, region)
    if (result === 0) {
      holder.files.add(file)
      file.lockOwners.add(owner)
    } else if (holder.files.size === 0) {
      this.#drop(file.node, owner)
    }
    return result
  }

  lockWaiting(file: LocalFile, owner: LockOwner, region: LockRegion): PendingLock {
    const first = this.lock(file, owner, region)
    if (first !== failure.EAGAIN) return { result: Promise.resolve(first), cancel: () => {} }
    let settle: (result: number) => void = () => {}
    const result = new Promise<number>(resolve => {
      settle = resolve
    })
    const waiter = this.#wait(file, () => this.lock(file, owner, region), settle)
    return { result, cancel: () => waiter.finish(failure.EINTR) }
  }

  test(file: LocalFile, owner: LockOwner, region: LockRegion): LockHolder | undefined | Failure {
    const bytes = new Uint8Array(this.#record.buffer)
    const fd = this.#holders.get(file.node)?.get(owner)?.fd ?? file.fd
    const result = binding.fsTestLock(fd, lockTypes[region.type], region.start, region.length, bytes)
    if (result < 0) return result
    const type = lockNames[this.#record.getUint32(0, true)] ?? 'unlock'
    if (type === 'unlock') return undefined
    const start = this.#record.getBigUint64(8, true)
    // An open file description has no process: the kernel says -1.
    return {
      type,
      pid: Math.max(0, this.#record.getInt32(4, true)),
      start,
      length: this.#record.getBigUint64(16, true),
    }
  }

  /** Ends the waiting of a file that is being closed, and the locks of those who locked by way of it. */
  closed(file: LocalFile): void {
    for (const waiter of [...(this.#waiters.get(file.node) ?? [])]) {
      if (waiter.file === file) waiter.finish(failure.EINTR)
    }
    for (const owner of [...file.lockOwners]) this.#drop(file.node, owner)
  }

  #holder(node: Inode, owner: LockOwner): Holder | Failure {
    const known = this.#holders.get(node)?.get(owner)
    if (known !== undefined) return known
    const path = this.#table.descriptor(node)
    if (path < 0) return path
    let isWritable = !this.#isReadOnly && node.kind === 'file'
    let fd = isWritable ? this.#open(path, openFlag.readWrite) : failure.EACCES
    if (fd < 0) {
      isWritable = false
      fd = this.#open(path, openFlag.read)
    }
    if (fd < 0) return fd
    const holder = { fd, isWritable, boundaries: new Set<bigint>(), files: new Set<LocalFile>() }
    const owners = this.#holders.get(node) ?? new Map<LockOwner, Holder>()
    this.#holders.set(node, owners.set(owner, holder))
    return holder
  }

  #open(path: number, flags: number): number {
    return this.#table.openDescriptor(() => binding.fsOpen(path, flags))
  }

  #apply(holder: Holder, region: LockRegion): number {
    const type = lockTypes[region.type]
    // POSIX locks are not asked for in a mode that does not allow them, so this one comes from flock(2) in the
    // guest, which arrives as a lock of the whole file. Where no file can be had for writing, shared and exclusive
    // locks only meet as those of flock(2).
    if (isWhole(region) && !holder.isWritable) {
      return binding.fsFlock(holder.fd, type)
    }
    if (this.#boundaries >= maxBoundaries) return failure.ENOLCK
    const result = binding.fsLock(holder.fd, type, region.start, region.length)
    if (result === 0) this.#count(holder, region)
    return result
  }

  #count(holder: Holder, { start, length }: LockRegion): void {
    const before = holder.boundaries.size
    holder.boundaries.add(start).add(start + length)
    this.#boundaries += holder.boundaries.size - before
  }

  #unlock(node: Inode, owner: LockOwner, region: LockRegion): number {
    const holder = this.#holders.get(node)?.get(owner)
    if (holder === undefined) return 0
    if (isWhole(region)) return this.#drop(node, owner)
    if (this.#boundaries >= maxBoundaries) return failure.ENOLCK // taking a piece out of one makes two
    const result = binding.fsLock(holder.fd, lockTypes.unlock, region.start, region.length)
    if (result === 0) this.#count(holder, region)
    this.#retrySoon(node)
    return result
  }

  /** Ends all of an owner's locks on a file; 0. */
  #drop(node: Inode, owner: LockOwner): number {
    const owners = this.#holders.get(node)
    const holder = owners?.get(owner)
    if (owners === undefined || holder === undefined) return 0
    owners.delete(owner)
    if (owners.size === 0) this.#holders.delete(node)
    this.#boundaries -= holder.boundaries.size
    for (const file of holder.files) file.lockOwners.delete(owner)
    this.#table.closeDescriptor(holder.fd)
    this.#retrySoon(node)
    return 0
  }

  #wait(file: LocalFile, lock: () => number, settle: (result: number) => void): Waiter {
    let delayMs = firstRetryMs
    let timer: NodeJS.Timeout
    const waiters = this.#waiters.get(file.node) ?? new Set<Waiter>()
    this.#waiters.set(file.node, waiters)
    const waiter: Waiter = {
      file,
      attempt: () => {
        const result = lock()
        if (result === failure.EAGAIN) return false
        waiter.finish(result)
        return true
      },
      finish: result => {
        clearTimeout(timer)
        if (!waiters.delete(waiter)) return
        this.#waiting--
        if (waiters.size === 0) this.#waiters.delete(file.node)
        settle(result)
      },
    }
    const retryLater = () => {
      timer = setTimeout(() => {
        if (!waiter.attempt()) retryLater()
      }, delayMs)
      // Thousands that wait do not keep this process busy: all of them together try a thousand times a second.
      delayMs = Math.min(2 * delayMs, Math.max(lastRetryMs, this.#waiting))
    }
    waiters.add(waiter)
    this.#waiting++
    retryLater()
    return waiter
  }

  /** Once in a turn of the event loop, however many locks end in it: each time asks for all who wait. */
  #retrySoon(inode: Inode): void {
    if (!this.#waiters.has(inode)) return
    if (this.#freed.size === 0) setImmediate(() => this.#retry())
    this.#freed.add(inode)
  }

  #retry(): void {
    const inodes = [...this.#freed]
    this.#freed.clear()
    for (const inode of inodes) {
      for (const waiter of [...(this.#waiters.get(inode) ?? [])]) waiter.attempt()
    }
  }
}

function isWhole({ start, length }: LockRegion): boolean {
  return start === 0n && length === 0n
}
