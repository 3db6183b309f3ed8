// Open files of one connection: those that the kernel opened and holds a handle of, and those opened here because it
// reads or writes without having asked (zero-message opens), of which only the last used are kept.

import { type Failure, failure } from '../fs/failure.js'
import { type FileTree, type OpenFile, openFlag, type TreeNode } from '../fs/tree.js'

/** What an implicit file was opened for. `append` writes at the end, wherever that is by then. */
export type Purpose = 'read' | 'write' | 'append'

const purposeFlags: Record<Purpose, number> = {
  read: openFlag.read,
  write: openFlag.write,
  append: openFlag.write | openFlag.append,
}
/** Of each purpose. */
const maxImplicit = 256

export class HandleTable {
  readonly #tree: FileTree
  readonly #maxHandles: number
  readonly #stopGivingUp: () => void
  readonly #handles = new Map<number, OpenFile>()
  /** Longest unused first. */
  readonly #implicit: Record<Purpose, Map<TreeNode, OpenFile>> = {
    read: new Map(),
    write: new Map(),
    append: new Map(),
  }
  #last = 0

  constructor(tree: FileTree, maxHandles: number) {
    this.#tree = tree
    this.#maxHandles = maxHandles
    this.#stopGivingUp = tree.onShortage(() => this.#giveUp())
  }

  get hasRoom(): boolean {
    return this.#handles.size < this.#maxHandles
  }

  /** A handle, never 0. */
  add(file: OpenFile): number {
    this.#handles.set(++this.#last, file)
    return this.#last
  }

  get(handle: bigint): OpenFile | undefined {
    return this.#handles.get(Number(handle))
  }

  /** Takes over a file as if it had been opened here. */
  adopt(file: OpenFile, flags: number): void {
    const isWritten = (flags & openFlag.accessMask) !== openFlag.read
    this.#keep(isWritten ? (flags & openFlag.append ? 'append' : 'write') : 'read', file)
  }

  /** The file of the handle, which must be of that node; without a handle, one opened here. */
  find(handle: bigint, node: TreeNode, purpose: Purpose): OpenFile | Failure {
    if (handle === 0n) return this.#open(node, purpose)
    const file = this.get(handle)
    return file?.node === node ? file : failure.EBADF
  }

  close(handle: bigint): void {
    const file = this.get(handle)
    if (file === undefined) return
    this.#handles.delete(Number(handle))
    this.#tree.close(file)
  }

  /** Closes what was opened here of that node. */
  drop(node: TreeNode): void {
    for (const files of Object.values(this.#implicit)) this.#drop(files, node)
  }

  clear(): void {
    this.#stopGivingUp()
    for (const file of this.#handles.values()) this.#tree.close(file)
    this.#handles.clear()
    for (const files of Object.values(this.#implicit))
      for (const node of [...files.keys()]) this.#drop(files, node)
  }

  /** Half of what was opened here, but never the last used, which the tree may be at work on. */
  #giveUp(): boolean {
    let dropped = 0
    for (const files of Object.values(this.#implicit)) {
      const oldest = [...files.keys()].slice(0, files.size >> 1)
      for (const node of oldest) this.#drop(files, node)
      dropped += oldest.length
    }
    return dropped > 0
  }

  #open(node: TreeNode, purpose: Purpose): OpenFile | Failure {
    const known = this.#implicit[purpose].get(node)
    const file = known ?? this.#tree.open(node, purposeFlags[purpose])
    if (typeof file === 'number') return file
    this.#keep(purpose, file)
    return file
  }

  /** As the last used; others are closed for it. */
  #keep(purpose: Purpose, file: OpenFile): void {
    const files = this.#implicit[purpose]
    if (files.get(file.node) === file) files.delete(file.node)
    else this.#drop(files, file.node)
    const [oldest] = files.keys()
    if (files.size >= maxImplicit && oldest !== undefined) this.#drop(files, oldest)
    files.set(file.node, file)
  }

  #drop(files: Map<TreeNode, OpenFile>, node: TreeNode): void {
    const file = files.get(node)
    if (file === undefined) return
    files.delete(node)
    this.#tree.close(file)
  }
}
