// The fids of one connection: what the client's numbers stand for. Used by the handlers.

import { type Failure, failure } from '../fs/failure.js'
import type { ByteString, FileTree, OpenFile, TreeNode } from '../fs/tree.js'

/** An extended attribute, or the list of them, being read. */
export interface XattrRead {
  readonly kind: 'read'
  readonly value: Uint8Array
}

/** An extended attribute that is set when its fid is clunked. */
export interface XattrWrite {
  readonly kind: 'write'
  readonly name: ByteString
  readonly flags: number
  readonly value: Buffer
  written: number
}

export class Fid {
  file: OpenFile | undefined
  xattr: XattrRead | XattrWrite | undefined

  /** Holds a reference to the node. */
  constructor(public node: TreeNode) {}
}

/** Bytes of extended attributes that the fids of one connection may hold at a time. */
const xattrBudget = 16 * 1024 * 1024

export class FidTable {
  readonly #fids = new Map<number, Fid>()
  readonly #tree: FileTree
  readonly #limit: number
  #xattrBytes = 0

  constructor(tree: FileTree, limit: number) {
    this.#tree = tree
    this.#limit = limit
  }

  get size(): number {
    return this.#fids.size
  }

  /** Undefined for a number that stands for nothing, which is EBADF. */
  get(number: number): Fid | undefined {
    return this.#fids.get(number)
  }

  /** Whether that number may be given out: 0, EBADF when it is in use, or EMFILE when there are too many. */
  vacancy(number: number): number {
    if (this.#fids.has(number)) return failure.EBADF
    return this.#fids.size >= this.#limit ? failure.EMFILE : 0
  }

  /** Takes over the reference to the node. */
  add(number: number, node: TreeNode): Fid {
    const fid = new Fid(node)
    this.#fids.set(number, fid)
    return fid
  }

  /** Gives the fid an attribute to hold, unless all together would be too much: E2BIG. */
  setXattr(fid: Fid, xattr: XattrRead | XattrWrite): Failure {
    if (this.#xattrBytes + xattr.value.length > xattrBudget) return failure.E2BIG
    this.#xattrBytes += xattr.value.length
    fid.xattr = xattr
    return 0
  }

  /** Forgets the number and ends what it stands for; an attribute that was being written is not set. */
  remove(number: number): void {
    const fid = this.#fids.get(number)
    if (fid === undefined) return
    this.#fids.delete(number)
    this.#xattrBytes -= fid.xattr?.value.length ?? 0
    if (fid.file !== undefined) this.#tree.close(fid.file)
    this.#tree.release(fid.node)
  }

  clear(): void {
    for (const number of [...this.#fids.keys()]) this.remove(number)
  }
}
