// Advisory locks where the local system's cannot be had: in memory, between the owners of one tree. Other programs
// on this machine do not see them. Used by path-tree.ts only.

import { failure } from './failure.js'
import type { LockHolder, LockOwner, LockRegion, OpenFile, PendingLock, TreeNode } from './tree.js'

/** Bounds what a client can make this process remember and search. */
const maxRanges = 8192
/** Behind the last byte that a file can have. */
const endOfFile = 1n << 64n

interface Range {
  readonly type: 'read' | 'write'
  readonly start: bigint
  /** The first byte that is not locked. */
  readonly end: bigint
}

/** One owner's locks on one file. */
interface Holding {
  ranges: readonly Range[]
  /** By way of which it has locked. */
  readonly files: Set<OpenFile>
}

interface Waiter {
  readonly file: OpenFile
  /** Tries once more, and settles unless somebody is still in the way. */
  attempt(): void
  finish(result: number): void
}

export class PathLocks {
  readonly #holdings = new Map<TreeNode, Map<LockOwner, Holding>>()
  readonly #waiters = new Map<TreeNode, Set<Waiter>>()
  readonly #freed = new Set<TreeNode>()
  #ranges = 0

  /** EAGAIN when another owner is in the way, ENOLCK when there are too many. */
  lock(file: OpenFile, owner: LockOwner, { type, start, length }: LockRegion): number {
    const { node } = file
    const end = endOf(start, length)
    if (end > endOfFile) return failure.EINVAL
    const holding = this.#holdings.get(node)?.get(owner) ?? { ranges: [], files: new Set() }
    const others = without(holding.ranges, start, end)
    if (type === 'unlock') return this.#set(node, owner, holding, others)
    if (this.#conflict(node, owner, { type, start, end }) !== undefined) return failure.EAGAIN
    holding.files.add(file)
    return this.#set(node, owner, holding, [...others, { type, start, end }])
  }

  lockWaiting(file: OpenFile, owner: LockOwner, region: LockRegion): PendingLock {
    const first = this.lock(file, owner, region)
    if (first !== failure.EAGAIN) return { result: Promise.resolve(first), cancel: () => {} }
    let settle: (result: number) => void = () => {}
    const result = new Promise<number>(resolve => {
      settle = resolve
    })
    const waiters = this.#waiters.get(file.node) ?? new Set<Waiter>()
    this.#waiters.set(file.node, waiters)
    const waiter: Waiter = {
      file,
      attempt: () => {
        const result = this.lock(file, owner, region)
        if (result !== failure.EAGAIN) waiter.finish(result)
      },
      finish: result => {
        waiters.delete(waiter)
        if (waiters.size === 0) this.#waiters.delete(file.node)
        settle(result)
      },
    }
    waiters.add(waiter)
    return { result, cancel: () => waiter.finish(failure.EINTR) }
  }

  test(file: OpenFile, owner: LockOwner, { type, start, length }: LockRegion): LockHolder | undefined {
    if (type === 'unlock') return undefined
    const found = this.#conflict(file.node, owner, { type, start, end: endOf(start, length) })
    if (found === undefined) return undefined
    const foundLength = found.end === endOfFile ? 0n : found.end - found.start
    return { type: found.type, start: found.start, length: foundLength, pid: 0 }
  }

  /** Ends the waiting of a file that is being closed, and the locks of those who locked by way of it. */
  closed(file: OpenFile): void {
    for (const waiter of [...(this.#waiters.get(file.node) ?? [])]) {
      if (waiter.file === file) waiter.finish(failure.EINTR)
    }
    for (const [owner, holding] of [...(this.#holdings.get(file.node) ?? [])]) {
      if (holding.files.has(file)) this.#set(file.node, owner, holding, [])
    }
  }

  /** The first lock of another owner that is in the way. */
  #conflict(node: TreeNode, owner: LockOwner, { type, start, end }: Range): Range | undefined {
    let first: Range | undefined
    for (const [other, { ranges }] of this.#holdings.get(node) ?? []) {
      if (other === owner) continue
      for (const range of ranges) {
        if (!overlaps(range, start, end) || (type === 'read' && range.type === 'read')) continue
        if (first === undefined || range.start < first.start) first = range
      }
    }
    return first
  }

  /** Gives the owner these locks instead of those it had; 0, or ENOLCK. */
  #set(node: TreeNode, owner: LockOwner, holding: Holding, ranges: readonly Range[]): number {
    const more = ranges.length - holding.ranges.length
    if (more > 0 && this.#ranges + more > maxRanges) return failure.ENOLCK
    this.#ranges += more
    holding.ranges = ranges
    const owners = this.#holdings.get(node) ?? new Map<LockOwner, Holding>()
    if (ranges.length > 0) this.#holdings.set(node, owners.set(owner, holding))
    else if (owners.delete(owner) && owners.size === 0) this.#holdings.delete(node)
    this.#retrySoon(node)
    return 0
  }

  /** Once in a turn of the event loop, however many locks end in it. */
  #retrySoon(node: TreeNode): void {
    if (!this.#waiters.has(node)) return
    if (this.#freed.size === 0) setImmediate(() => this.#retry())
    this.#freed.add(node)
  }

  #retry(): void {
    const nodes = [...this.#freed]
    this.#freed.clear()
    for (const node of nodes) {
      for (const waiter of [...(this.#waiters.get(node) ?? [])]) waiter.attempt()
    }
  }
}

function endOf(start: bigint, length: bigint): bigint {
  return length === 0n ? endOfFile : start + length
}

function overlaps(range: Range, start: bigint, end: bigint): boolean {
  return range.start < end && start < range.end
}

/** The ranges without those bytes. */
function without(ranges: readonly Range[], start: bigint, end: bigint): readonly Range[] {
  if (!ranges.some(range => overlaps(range, start, end))) return ranges
  return ranges.flatMap(range => {
    if (!overlaps(range, start, end)) return range
    const before = { ...range, end: start }
    const after = { ...range, start: end }
    return [before, after].filter(part => part.start < part.end)
  })
}
