// Files of procfs, sysfs and their like, whose size says nothing: it is 0, or a page, whatever the content. A kernel
// that opens files without asking reads them through its cache, up to the size that it was told last. It asks for that
// by way of the open file whenever it reads, which stat(2) does not do: then the content is fetched, its true size is
// told, and what it reads next is what was fetched. Sizes belong to inodes there: so that nobody's reading ends by what
// another is told, each look-up of such a file is answered with a node of its own.

import { type Failure, failure } from '../fs/failure.js'
import { attributeRecordSize, type FileTree, type OpenFile, openFlag, type TreeNode } from '../fs/tree.js'

/** A greater size than that was meant. */
const pageSize = 4096
/** For how long a program that goes on reading gets what was fetched. */
const keepMs = 100
/** What is fetched of one file, and what is kept of all. */
const maxContent = 16 * 1024 * 1024
const maxKept = 2 * maxContent
const maxFiles = 64
/** Of a file that is longer than that; a read that brings less says where it ends. */
const unknownSize = 2 ** 40
const chunkSize = 65_536
/** Where an attribute record has the size. */
const sizeAt = 28

interface Content {
  readonly bytes: Buffer
  readonly fetchedAt: number
  isOld: boolean
}

export class MadeUpFiles {
  readonly #tree: FileTree
  /** By the node's number; those fetched first come first. */
  readonly #contents = new Map<number, Content>()
  #kept = 0

  constructor(tree: FileTree) {
    this.#tree = tree
  }

  /** Whether the kernel must wait until the content is fetched. */
  mustFetch(id: number, node: TreeNode): boolean {
    if (!isMadeUp(node)) return false
    const content = this.#contents.get(id)
    return content === undefined || content.isOld || performance.now() - content.fetchedAt > keepMs
  }

  /** Fetches the content for who reads now; 0 or a negative errno. */
  async fetch(id: number, node: TreeNode): Promise<number> {
    const attributes = Buffer.alloc(attributeRecordSize)
    const result = this.#tree.attributes(node, attributes, 0)
    if (result < 0 || attributes.readBigUInt64LE(sizeAt) > pageSize) return Math.min(result, 0)
    const file = this.#tree.open(node, openFlag.read)
    if (typeof file === 'number') return file
    const bytes = await readWhole(this.#tree, file, 0n, maxContent)
    this.#tree.close(file)
    if (typeof bytes === 'number') return bytes
    this.forget(id)
    this.#kept += bytes.length
    this.#contents.set(id, { bytes, fetchedAt: performance.now(), isOld: false })
    for (const oldest of this.#contents.keys()) {
      if (this.#kept <= maxKept && this.#contents.size <= maxFiles) break
      this.forget(oldest)
    }
    return 0
  }

  /** The size to tell instead of what the attributes say. */
  sizeOf(id: number): number | undefined {
    const bytes = this.#contents.get(id)?.bytes
    return bytes === undefined || bytes.length < maxContent ? bytes?.length : unknownSize
  }

  /** What was fetched of these bytes of the file. */
  contentOf(id: number, offset: bigint, count: number): Buffer | undefined {
    const bytes = this.#contents.get(id)?.bytes
    if (bytes === undefined || (bytes.length >= maxContent && offset >= maxContent - count)) return undefined
    const start = offset < bytes.length ? Number(offset) : bytes.length
    return bytes.subarray(start, start + count)
  }

  /** It was written to: who reads it next gets it anew. */
  wasWritten(id: number): void {
    const content = this.#contents.get(id)
    if (content !== undefined) content.isOld = true
  }

  forget(id: number): void {
    this.#kept -= this.#contents.get(id)?.bytes.length ?? 0
    this.#contents.delete(id)
  }
}

/** Whether size and content of the file must not be cached. */
export function isMadeUp(node: TreeNode): boolean {
  return node.isSynthetic && node.kind === 'file'
}

/** Up to `count` bytes, fewer only at the end: a read of such a file brings what its author likes. */
export async function readWhole(
  tree: FileTree,
  file: OpenFile,
  offset: bigint,
  count: number,
): Promise<Buffer | Failure> {
  const chunks: Buffer[] = []
  let length = 0
  while (length < count) {
    const chunk = Buffer.allocUnsafe(Math.min(chunkSize, count - length))
    const result = await tree.readWaiting(file, chunk, 0, chunk.length, offset + BigInt(length))
    // EAGAIN: there is nothing more for now, of kernel messages for example.
    if (result < 0 && result !== failure.EAGAIN && length === 0) return result
    if (result <= 0) break
    chunks.push(chunk.subarray(0, result))
    length += result
  }
  return Buffer.concat(chunks)
}
