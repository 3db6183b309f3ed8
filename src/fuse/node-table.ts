// The nodes that the kernel there knows, by the numbers it knows them by. It tells how often it has looked a node up,
// and later how many of these it forgets; at none the node is let go.

import type { FileTree, TreeNode } from '../fs/tree.js'
import { ROOT_ID } from './protocol.js'

interface Known {
  readonly id: number
  readonly node: TreeNode
  lookups: number
  /** For how many seconds its attributes were said to hold. */
  validity: number
}

export class NodeTable {
  readonly #tree: FileTree
  readonly maxNodes: number
  readonly #onForget: (node: TreeNode, id: number) => void
  readonly #byId = new Map<number, Known>()
  readonly #byNode = new Map<TreeNode, Known>()
  #lastId = ROOT_ID

  /** `onForget` is told of each node just before it is let go. */
  constructor(tree: FileTree, maxNodes: number, onForget: (node: TreeNode, id: number) => void) {
    this.#tree = tree
    this.maxNodes = maxNodes
    this.#onForget = onForget
    const root = { id: ROOT_ID, node: tree.root, lookups: Number.POSITIVE_INFINITY, validity: 0 }
    this.#byId.set(ROOT_ID, root)
    this.#byNode.set(tree.root, root)
  }

  get size(): number {
    return this.#byId.size
  }

  /** Whether one more may be known. */
  get hasRoom(): boolean {
    return this.#byId.size < this.maxNodes
  }

  get(id: number): TreeNode | undefined {
    return this.#byId.get(id)?.node
  }

  /** For how many seconds the attributes of a node hold that was told under that number. */
  validity(id: number): number {
    return this.#byId.get(id)?.validity ?? 0
  }

  setValidity(id: number, validity: number): void {
    const known = this.#byId.get(id)
    if (known !== undefined) known.validity = validity
  }

  /** The number by which the kernel knows the node, if it does. */
  idOf(node: TreeNode): number | undefined {
    return this.#byNode.get(node)?.id
  }

  nodes(): Iterable<Known> {
    return this.#byId.values()
  }

  /**
   * The kernel is told of the node once more; its number, or a new one where it is to take it for another file. Takes
   * over the caller's reference.
   */
  add(node: TreeNode, isAnother = false): number {
    const known = isAnother ? undefined : this.#byNode.get(node)
    if (known !== undefined) {
      known.lookups++
      this.#tree.release(node)
      return known.id
    }
    const added = { id: ++this.#lastId, node, lookups: 1, validity: 0 }
    this.#byId.set(added.id, added)
    if (!isAnother) this.#byNode.set(node, added)
    return added.id
  }

  /** The kernel forgets that many lookups; more than there were count as all. */
  forget(id: number, lookups: number): void {
    const known = this.#byId.get(id)
    if (known === undefined || id === ROOT_ID) return
    known.lookups -= lookups
    if (known.lookups > 0) return
    this.#byId.delete(id)
    if (this.#byNode.get(known.node) === known) this.#byNode.delete(known.node)
    this.#onForget(known.node, id)
    this.#tree.release(known.node)
  }

  clear(): void {
    for (const id of [...this.#byId.keys()]) this.forget(id, Number.POSITIVE_INFINITY)
  }
}
