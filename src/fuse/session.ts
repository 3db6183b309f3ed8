// What the handlers of requests work with: the state of one connection and the reply under construction.

import type { ByteString, FileTree, TreeNode } from '../fs/tree.js'
import { Writer } from '../wire/fields.js'
import type { Output } from '../wire/output.js'
import type { Deferred } from '../wire/request-loop.js'
import type { HandleTable } from './handle-table.js'
import type { MadeUpFiles } from './made-up-files.js'
import type { Request, RequestName } from './messages.js'
import type { NodeTable } from './node-table.js'
import type { Owners } from './owners.js'
import { replyHeaderSize } from './protocol.js'

/**
 * How much the kernel there may keep without asking: nothing, all until it is told of a change, or all, whatever
 * others do.
 */
export const CACHE_POLICIES = ['strict', 'auto', 'always'] as const

export type CachePolicy = (typeof CACHE_POLICIES)[number]

/** struct fuse_in_header, without what nobody looks at. */
export interface Header {
  readonly nodeid: number
  readonly unique: bigint
}

/** Of a request that has no reply. */
export const noReply = 1
/** 0 when the reply is made, `noReply`, a negative errno, or the promise of a reply. */
export type Outcome = number | Deferred

export type Handler<N extends RequestName> = (
  session: Session,
  request: Request<N>,
  header: Header,
  reply: Reply,
) => Outcome
export type Handlers<N extends RequestName> = { readonly [K in N]: Handler<K> }

export interface Session {
  /** Tells connections apart, for as long as the process lives. */
  readonly number: number
  readonly tree: FileTree
  readonly nodes: NodeTable
  readonly handles: HandleTable
  readonly madeUp: MadeUpFiles
  readonly policy: CachePolicy
  /** Whether INIT was answered. */
  isInitialised: boolean
  /** Set where the session's user has other ids than this process. */
  owners: Owners | undefined
  /** Whether the kernel is told that files need not be opened. */
  opensImplicitly: boolean
  /** The largest read or write. */
  readonly maxWrite: number
  waitingLocks: number
  /** Whether the kernel knows FUSE_EXPIRE_ONLY. */
  canExpire: boolean
  /**
   * Announces that names below this directory are going to be told; for how many seconds these and their attributes
   * hold, unless taken back.
   */
  validity(directory: TreeNode): number
  /** Notes that a name is told, with the number of its node, or 0 as absent; for how many seconds that holds. */
  told(directory: TreeNode, name: ByteString, id: number): number
  /** What was told of a name is now true of another, without being told again. */
  renamed(from: TreeNode, fromName: ByteString, to: TreeNode, toName: ByteString): void
  /** The seconds for which attributes of the node hold, where its name holds for `validity`. */
  attributeValidity(node: TreeNode, validity: number): number
  interrupt(unique: bigint): void
  end(reason: string): void
}

/** Where a handler puts its reply. */
export class Reply {
  unique = 0n

  constructor(readonly output: Output) {}

  /** Room for a body of up to `size` bytes, which begins where the writer is; to be completed with `end`. */
  body(size: number): Writer {
    const writer = this.output.reserve(replyHeaderSize + size)
    writer.skip(replyHeaderSize)
    return writer
  }

  /** The body has that many bytes. */
  end(size: number): number {
    this.#commit(replyHeaderSize + size, 0)
    return 0
  }

  /** Without a body. */
  empty(): number {
    this.body(0)
    return this.end(0)
  }

  error(result: number): void {
    this.body(0)
    this.#commit(replyHeaderSize, result)
  }

  #commit(size: number, error: number): void {
    putReplyHeader(this.output.reserved, size, error, this.unique)
    this.output.commit(size)
  }
}

/** A message with room for `size` bytes after the header, for a Deferred. */
export function deferredMessage(size: number): Buffer {
  return Buffer.allocUnsafe(replyHeaderSize + size)
}

/** Fills in the header of a message made by `deferredMessage`. */
export function completeDeferred(bytes: Buffer, unique: bigint): Buffer {
  putReplyHeader(new Writer(bytes), bytes.length, 0, unique)
  return bytes
}

/** struct fuse_out_header, where the writer is. */
export function putReplyHeader(writer: Writer, size: number, error: number, unique: bigint): void {
  writer.u32(size)
  writer.u32(error >>> 0)
  writer.u64(unique)
}
