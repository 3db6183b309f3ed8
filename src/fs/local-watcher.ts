// Changes by other processes in directories of a LocalTree, by fanotify(7). Our own, made for the other side, are not
// told: it knows of them.

import { binding } from '../native/binding.js'
import { failure } from './failure.js'
import type { Inode } from './inode-table.js'
import type { TreeChange, TreeWatcher } from './tree.js'

/** How many directories are watched at most: the kernel's memory is a kilobyte for each. */
export const maxWatched = 65_536
/** fsid8 bytes4 type4 and a handle of up to MAX_HANDLE_SZ */
const maxKey = 8 + 8 + 128
const recordsSize = 65_536
/** linux/fanotify.h */
const fan = {
  modify: 0x2,
  attrib: 0x4,
  closeWrite: 0x8,
  movedFrom: 0x40,
  movedTo: 0x80,
  create: 0x100,
  delete: 0x200,
  overflow: 0x4000,
} as const
const entryMask = fan.movedFrom | fan.movedTo | fan.create | fan.delete
const contentsMask = fan.modify | fan.closeWrite
/** What may work another time. ENOSPC: the kernel has a bound of its own (fs.fanotify.max_user_marks). */
const passing: readonly number[] = [failure.ENOSPC, failure.ENOMEM, failure.ENFILE, failure.EMFILE]

/** Undefined where the kernel does not let us watch. */
export function openLocalWatcher(
  descriptorOf: (directory: Inode) => number,
  onChange: (change: TreeChange) => void,
  max = maxWatched,
): TreeWatcher | undefined {
  const fd = binding.watchOpen()
  return fd < 0 ? undefined : new LocalWatcher(fd, descriptorOf, onChange, max)
}

class LocalWatcher implements TreeWatcher {
  readonly #fd: number
  readonly #descriptorOf: (directory: Inode) => number
  readonly #onChange: (change: TreeChange) => void
  /** By the bytes with which the kernel names them. */
  readonly #directories = new Map<string, Inode>()
  /** False for those that cannot be watched. */
  readonly #keys = new Map<Inode, string | false>()
  readonly #key = Buffer.alloc(maxKey)
  readonly #records = Buffer.alloc(recordsSize)
  readonly #stop: (() => void) | undefined
  readonly #max: number
  /** Whether the kernel lets us have no more. */
  #isRefused = false
  /** Watched still, although removed: nothing leads to them any more. */
  #lost = 0

  constructor(
    fd: number,
    descriptorOf: (directory: Inode) => number,
    onChange: (change: TreeChange) => void,
    max: number,
  ) {
    this.#fd = fd
    this.#max = max
    this.#descriptorOf = descriptorOf
    this.#onChange = onChange
    const stop = binding.watchReadable(fd, () => this.#read())
    this.#stop = typeof stop === 'number' ? undefined : stop
  }

  add(directory: Inode): boolean {
    const known = this.#keys.get(directory)
    if (known !== undefined) return known !== false
    if (this.#stop === undefined || this.#isRefused || this.isFull) return false
    const fd = this.#descriptorOf(directory)
    const length = fd < 0 ? fd : binding.watchAdd(this.#fd, fd, this.#key)
    this.#isRefused = length === failure.ENOSPC
    if (passing.includes(length)) return false
    const key = length < 0 ? false : this.#key.toString('latin1', 0, length)
    this.#keys.set(directory, key)
    if (key !== false) this.#directories.set(key, directory)
    return key !== false
  }

  has(directory: Inode): boolean {
    return typeof this.#keys.get(directory) === 'string'
  }

  get isFull(): boolean {
    const watched = this.#directories.size
    return watched > 0 && (this.#isRefused || watched + this.#lost >= this.#max)
  }

  remove(directory: Inode): void {
    const key = this.#keys.get(directory)
    this.#keys.delete(directory)
    if (key === undefined || key === false) return
    this.#directories.delete(key)
    this.#isRefused = false
    const fd = this.#descriptorOf(directory)
    if (fd < 0) this.#lost++
    else binding.watchRemove(this.#fd, fd)
  }

  close(): void {
    this.#stop?.()
    binding.closeFd(this.#fd)
    this.#directories.clear()
  }

  /** Some of what there is; the rest in the next turn, or a busy process would keep this one from all else. */
  #read(): void {
    const length = binding.watchRead(this.#fd, this.#records)
    for (let at = 0; at < length; ) at = this.#tell(at)
  }

  /** The record there; where the next one is. */
  #tell(at: number): number {
    const mask = this.#records.readUInt32LE(at)
    const keyEnd = at + 8 + this.#records.readUInt16LE(at + 4)
    const end = keyEnd + this.#records.readUInt16LE(at + 6)
    if (mask & fan.overflow) {
      this.#onChange({ kind: 'lost' })
      return end
    }
    const directory = this.#directories.get(this.#records.toString('latin1', at + 8, keyEnd))
    if (directory === undefined) return end
    const name = this.#records.toString('latin1', keyEnd, end)
    if (name === '.') this.#onChange({ kind: 'self', directory })
    else {
      if (mask & entryMask) this.#onChange({ kind: 'entry', directory, name })
      if (mask & contentsMask) this.#onChange({ kind: 'contents', directory, name })
      else if (mask & fan.attrib) this.#onChange({ kind: 'attributes', directory, name })
    }
    return end
  }
}
