// Listings of PathTree's directories. Node reads a directory at once and by its path, so an open directory remembers
// the names there were when it was read from the start, and a cookie counts them: names stay where they are while
// entries come and go, and those gone since are left out. Used by path-tree.ts only.

import fs from 'node:fs'
import { type Failure, failure } from './failure.js'
import { statsOf } from './path-attributes.js'
import type { PathFile, PathNode, PathTable } from './path-nodes.js'
import { attempt, bytes, putDirectoryRecord, status } from './path-system.js'
import { type ByteString, directoryRecordPrefix } from './tree.js'

/** Names that are remembered, of all directories together. */
const maxNames = 1_000_000

export class PathListings {
  readonly #table: PathTable
  /** Those that remember names, in the order in which they were read from the start. */
  readonly #files = new Set<PathFile>()
  #count = 0

  constructor(table: PathTable) {
    this.#table = table
  }

  /** What `readDirectory` of tree.ts promises. */
  read(file: PathFile, cookie: bigint, into: Uint8Array, at: number, count: number): number {
    const { node } = file
    const place = this.#table.find(node)
    // Removed: nothing is in it any more.
    if (typeof place === 'number') return node.parent === undefined ? 0 : place
    const names = cookie === 0n || file.names === undefined ? this.#list(file, place.path) : file.names
    if (typeof names === 'number') return names
    let used = 0
    for (let i = Number(cookie); i < names.length; i++) {
      const name = names[i]!
      const stats = this.#entry(node, place.path, name)
      if (typeof stats === 'number') continue
      const size = directoryRecordPrefix + name.length
      if (used + size > count) return used === 0 ? failure.EINVAL : used
      const entry = { id: this.#table.idOf(stats), mode: Number(stats.mode), name }
      putDirectoryRecord(entry, i + 1, into, at + used)
      used += size
    }
    return used
  }

  #entry(directory: PathNode, path: ByteString, name: ByteString): fs.BigIntStats | Failure {
    if (name === '.') return statsOf(this.#table, directory)
    // The root's real parent is not the other side's business.
    if (name === '..') return statsOf(this.#table, directory.parent ?? directory)
    return status(`${path}/${name}`)
  }

  #list(file: PathFile, path: ByteString): readonly ByteString[] | Failure {
    const entries = attempt(() => fs.readdirSync(bytes(path || '/'), { encoding: 'latin1' }))
    if (typeof entries === 'number') return entries
    // A link put in the directory's place in between would have led elsewhere.
    const place = this.#table.find(file.node)
    if (typeof place === 'number') return place
    this.forget(file)
    const names = ['.', '..', ...entries]
    file.names = names
    this.#files.add(file)
    this.#count += names.length
    // One that is forgotten is read again when it goes on, and differs only where entries came or went.
    for (const oldest of this.#files) {
      if (this.#count <= maxNames || oldest === file) break
      this.forget(oldest)
    }
    return names
  }

  forget(file: PathFile): void {
    this.#count -= file.names?.length ?? 0
    file.names = undefined
    this.#files.delete(file)
  }
}
