// Advisory locks of open files, and waiting for them without parking a thread. A lock belongs to one open file
// (F_OFD_SETLK) and ends with it. Someone waiting tries again when a lock of this tree on the same file ends, and
// from time to time, since other processes tell nobody. Used by local-tree.ts only.

import { binding } from '../native/binding.js'
import { type Failure, failure } from './failure.js'
import type { Inode, InodeTable } from './inode-table.js'
import type { LocalFile } from './open-file.js'
import { type LockHolder, type LockRegion, type LockType, openFlag, type PendingLock } from './tree.js'

// F_RDLCK, F_WRLCK, F_UNLCK of asm-generic/fcntl.h
const lockTypes: Readonly<Record<LockType, number>> = { read: 0, write: 1, unlock: 2 }
const lockNames = ['read', 'write', 'unlock'] as const

const firstRetryMs = 5
const lastRetryMs = 100

interface Waiter {
  readonly file: LocalFile
  /** Tries once more; whether that was the end of it. */
  attempt(): boolean
  finish(result: number): void
}

export class Locks {
  readonly #table: InodeTable
  readonly #isReadOnly: boolean
  readonly #waiters = new Map<Inode, Set<Waiter>>()
  readonly #record = new DataView(new ArrayBuffer(24))

  constructor(table: InodeTable, isReadOnly: boolean) {
    this.#table = table
    this.#isReadOnly = isReadOnly
  }

  /** EAGAIN when another owner is in the way. */
  lock(file: LocalFile, region: LockRegion): number {
    const result = this.#apply(file, region)
    if (result === 0 && region.type === 'unlock') this.#retry(file.node)
    else if (result === 0) file.hasLocks = true
    return result
  }

  lockWaiting(file: LocalFile, region: LockRegion): PendingLock {
    const first = this.lock(file, region)
    if (first !== failure.EAGAIN) return { result: Promise.resolve(first), cancel: () => {} }
    let settle: (result: number) => void = () => {}
    const result = new Promise<number>(resolve => {
      settle = resolve
    })
    const waiter = this.#wait(file, region, settle)
    return { result, cancel: () => waiter.finish(failure.EINTR) }
  }

  test(file: LocalFile, region: LockRegion): LockHolder | undefined | Failure {
    const bytes = new Uint8Array(this.#record.buffer)
    const fd = file.lockFd >= 0 ? file.lockFd : file.fd
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

  /** Ends the waiting of a file that is being closed. */
  abandon(file: LocalFile): void {
    for (const waiter of [...(this.#waiters.get(file.node) ?? [])]) {
      if (waiter.file === file) waiter.finish(failure.EINTR)
    }
  }

  /** To be called when a file that held locks was closed. */
  released(inode: Inode): void {
    this.#retry(inode)
  }

  #wait(file: LocalFile, region: LockRegion, settle: (result: number) => void): Waiter {
    let delayMs = firstRetryMs
    let timer: NodeJS.Timeout
    const waiters = this.#waiters.get(file.node) ?? new Set<Waiter>()
    this.#waiters.set(file.node, waiters)
    const waiter: Waiter = {
      file,
      attempt: () => {
        const result = this.#apply(file, region)
        if (result === failure.EAGAIN) return false
        if (result === 0) file.hasLocks = true
        waiter.finish(result)
        return true
      },
      finish: result => {
        clearTimeout(timer)
        if (!waiters.delete(waiter)) return
        if (waiters.size === 0) this.#waiters.delete(file.node)
        settle(result)
      },
    }
    const retryLater = () => {
      timer = setTimeout(() => {
        if (!waiter.attempt()) retryLater()
      }, delayMs)
      delayMs = Math.min(2 * delayMs, lastRetryMs)
    }
    waiters.add(waiter)
    retryLater()
    return waiter
  }

  #retry(inode: Inode): void {
    const waiters = this.#waiters.get(inode)
    if (waiters === undefined) return
    for (const waiter of [...waiters]) waiter.attempt()
  }

  #apply(file: LocalFile, region: LockRegion): number {
    const type = lockTypes[region.type]
    if (isWhole(region) && (file.isFlocked || (region.type !== 'unlock' && this.#needsFlock(file)))) {
      return this.#flock(file, region)
    }
    const fd = file.lockFd >= 0 ? file.lockFd : file.fd
    const result = binding.fsLock(fd, type, region.start, region.length)
    if (result !== failure.EBADF || region.type === 'unlock' || file.lockFd >= 0) return result
    return this.#lockDespiteMode(file, region)
  }

  /** Where nothing can be opened for writing, shared and exclusive locks only meet as those of flock(2). */
  #needsFlock(file: LocalFile): boolean {
    return this.#isReadOnly || file.node.kind === 'directory'
  }

  /**
   * A lock that the file's open mode does not allow. POSIX locks are not asked for in that mode, so it comes from
   * flock(2) in the guest, which asks for no mode and arrives as a lock of the whole file.
   */
  #lockDespiteMode(file: LocalFile, region: LockRegion): number {
    const path = this.#table.descriptor(file.node)
    if (path < 0 || this.#isReadOnly) return failure.EBADF
    const fd = this.#table.openDescriptor(() => binding.fsOpen(path, openFlag.readWrite))
    if (fd < 0) return isWhole(region) ? this.#flock(file, region) : failure.EBADF
    // As flock(2) does, the lock held is dropped before another is taken: it would be in its own way.
    binding.fsLock(file.fd, lockTypes.unlock, 0n, 0n)
    file.lockFd = fd
    return binding.fsLock(fd, lockTypes[region.type], region.start, region.length)
  }

  #flock(file: LocalFile, { type }: LockRegion): number {
    const result = binding.fsFlock(file.fd, lockTypes[type])
    if (result === 0) file.isFlocked = type !== 'unlock'
    return result
  }
}

function isWhole({ start, length }: LockRegion): boolean {
  return start === 0n && length === 0n
}
