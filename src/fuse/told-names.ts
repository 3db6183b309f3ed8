// Which names of which directories the kernel there was told of, and as what. It keeps them until they are taken back,
// and does not say which it still has.

import type { ByteString, TreeNode } from '../fs/tree.js'

/** By name: the number of the node it was told to be, or `absent`. */
export type Names = Map<ByteString, number>

export const absent = 0

export class ToldNames {
  /** Those that were not asked about for longest come first. */
  readonly #directories = new Map<TreeNode, Names>()
  #last: TreeNode | undefined
  #size = 0

  /** How many names there are. */
  get size(): number {
    return this.#size
  }

  directories(): TreeNode[] {
    return [...this.#directories.keys()]
  }

  names(directory: TreeNode): Iterable<readonly [ByteString, number]> {
    return this.#directories.get(directory) ?? []
  }

  /** The directory that was not asked about for longest, other than that one, if there is one. */
  oldest(except: TreeNode): TreeNode | undefined {
    for (const directory of this.#directories.keys()) if (directory !== except) return directory
    return undefined
  }

  /** The directory is asked about. */
  use(directory: TreeNode): Names {
    const names = this.#directories.get(directory) ?? new Map<ByteString, number>()
    if (directory === this.#last) return names
    this.#directories.delete(directory)
    this.#directories.set(directory, names)
    this.#last = directory
    return names
  }

  add(directory: TreeNode, name: ByteString, id: number): void {
    const names = this.use(directory)
    this.#size -= names.size
    names.set(name, id)
    this.#size += names.size
  }

  get(directory: TreeNode, name: ByteString): number | undefined {
    return this.#directories.get(directory)?.get(name)
  }

  delete(directory: TreeNode, name: ByteString): void {
    if (this.#directories.get(directory)?.delete(name)) this.#size--
  }

  /** Nothing of the directory counts as told any more; what was. */
  take(directory: TreeNode): Names {
    const names = this.#directories.get(directory)
    this.#directories.delete(directory)
    if (directory === this.#last) this.#last = undefined
    this.#size -= names?.size ?? 0
    return names ?? new Map()
  }
}
