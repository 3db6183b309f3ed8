// An open file of LocalTree: its descriptor, and the calls in the thread pool that must end before it is closed.

import type { Inode } from './inode-table.js'
import { type LockOwner, type OpenFile, openFlag } from './tree.js'

export class LocalFile implements OpenFile {
  /** Those who may have locks by way of this file. */
  readonly lockOwners = new Set<LockOwner>()
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
