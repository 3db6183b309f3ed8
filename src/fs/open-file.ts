// An open file of LocalTree: its descriptor, and the calls in the thread pool that must end before it is closed.

import type { Inode } from './inode-table.js'
import { type OpenFile, openFlag } from './tree.js'

export class LocalFile implements OpenFile {
  /** A second descriptor, open for reading and writing, for locks that this one's mode forbids; -1 if none. */
  lockFd = -1
  /** A lock by flock(2) is held, because no descriptor could be had for another. */
  isFlocked = false
  /** Locks may be held. */
  hasLocks = false
  isClosed = false
  /** Calls under way in the thread pool. */
  pending = 0

  constructor(
    readonly node: Inode,
    readonly fd: number,
    readonly flags: number,
  ) {}

  get isWritable(): boolean {
    return (this.flags & openFlag.accessMask) !== openFlag.read
  }
}
