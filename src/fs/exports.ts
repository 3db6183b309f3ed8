// What of a tree is shown where not all of it is to be: some paths with everything below them, and the directories that
// lead there, bare, with nothing in them but the next name. By names, as they are looked up, so that a directory that
// another process puts in the place of one on the way shows no more than that one did.

import { type ByteString, directoryRecordPrefix, type TreeChange, type TreeNode } from './tree.js'

/** A directory on the way: what may be looked up in it. */
interface Waypoint {
  readonly names: Map<ByteString, Waypoint | 'shown'>
}

export class Exports {
  readonly #bare = new WeakMap<TreeNode, Waypoint>()

  /** Paths from the root, absolute and without `.` and `..`; `/` shows everything. */
  constructor(root: TreeNode, paths: readonly ByteString[]) {
    const start: Waypoint = { names: new Map() }
    if (paths.every(path => addPath(start, componentsOf(path)))) this.#bare.set(root, start)
  }

  /** Whether the directory only leads to what is shown: nothing is made, removed or changed in it. */
  isBare(node: TreeNode): boolean {
    return this.#bare.has(node)
  }

  shows(directory: TreeNode, name: ByteString): boolean {
    const waypoint = this.#bare.get(directory)
    return waypoint === undefined || waypoint.names.has(name)
  }

  /** Notes what was looked up; false for what is in the place of a directory on the way, and is none. */
  found(directory: TreeNode, name: ByteString, node: TreeNode): boolean {
    const next = this.#bare.get(directory)?.names.get(name)
    // Who follows a link looks its target up.
    if (next === undefined || next === 'shown' || node.kind === 'symlink') return true
    this.#bare.set(node, next)
    return node.kind === 'directory'
  }

  /** Whether others may learn of the change. */
  tells(change: TreeChange): boolean {
    return !('name' in change) || this.shows(change.directory, change.name)
  }

  /** Has directory records written by `read`, which is told the cookie to go on from, and takes out what is not shown. */
  list(
    directory: TreeNode,
    cookie: bigint,
    into: Uint8Array,
    at: number,
    read: (cookie: bigint) => number,
  ): number {
    if (!this.isBare(directory)) return read(cookie)
    for (let from = cookie; ; ) {
      const length = read(from)
      if (length <= 0) return length
      const records = Buffer.from(into.buffer, into.byteOffset + at, length)
      const left = this.#filter(directory, records)
      if (left.length > 0) return left.length
      from = left.cookie
    }
  }

  /** Closes the gaps; how many bytes are left, and the cookie of the last record there was. */
  #filter(directory: TreeNode, records: Buffer): { readonly length: number; readonly cookie: bigint } {
    let length = 0
    let cookie = 0n
    for (let next = 0, end = 0; next < records.length; next = end) {
      const nameStart = next + directoryRecordPrefix
      end = nameStart + records.readUInt16LE(nameStart - 2)
      cookie = records.readBigUInt64LE(next + cookieOffset)
      const name = records.toString('latin1', nameStart, end)
      if (name !== '.' && name !== '..' && !this.shows(directory, name)) continue
      length += records.copy(records, length, next, end)
    }
    return { length, cookie }
  }
}

const cookieOffset = 13

/** False where that shows everything. */
function addPath({ names }: Waypoint, [name, ...rest]: readonly ByteString[]): boolean {
  if (name === undefined) return false
  const known = names.get(name)
  if (known === 'shown') return true
  const next = known ?? { names: new Map() }
  names.set(name, addPath(next, rest) ? next : 'shown')
  return true
}

function componentsOf(path: ByteString): ByteString[] {
  return path.split('/').filter(name => name !== '')
}
