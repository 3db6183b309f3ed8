// What the handlers of requests work with: the state of one connection and the reply under construction.

import type { FileTree, TreeNode } from '../fs/tree.js'
import type { Writer } from '../wire/fields.js'
import type { Output } from '../wire/output.js'
import type { Deferred } from '../wire/request-loop.js'
import { bodySize, encodeBody, headerSize, putHeader } from './codec.js'
import type { FidTable } from './fids.js'
import { type Message, messages, type ReplyName, type RequestName } from './messages.js'
import type { Qid } from './wire.js'

/** 0 when the reply is made, a negative errno for Rlerror, or the promise of one of them. */
export type Outcome = number | Deferred

export type Handler<N extends RequestName> = (session: Session, request: Message<N>, reply: Reply) => Outcome
export type Handlers<N extends RequestName> = { readonly [K in N]: Handler<K> }

export interface Session {
  /** Tells connections apart, for as long as the process lives. */
  readonly number: number
  readonly tree: FileTree
  readonly fids: FidTable
  /** The largest message allowed, in both directions; 0 until it is negotiated. */
  msize: number
  readonly msizeLimit: number
  /** Locks being waited for. */
  waitingLocks: number
  /** Ends everything under way: fids, locks, replies not sent. */
  reset(msize: number): void
  /** The request with that tag needs no answer any more. */
  flush(tag: number): void
}

/** Where a handler puts its reply. */
export class Reply {
  tag = 0

  constructor(readonly output: Output) {}

  send<N extends ReplyName>(name: N, value: Message<N>): number {
    const size = bodySize(name, value)
    encodeBody(name, value, this.body(size))
    return this.sendBody(name, size)
  }

  /** Room for a body of up to `size` bytes, which begins where the writer is; to be ended with `sendBody`. */
  body(size: number): Writer {
    const writer = this.output.reserve(headerSize + size)
    writer.skip(headerSize)
    return writer
  }

  sendBody(name: ReplyName, size: number): number {
    const { view, at } = this.output.reserved
    putHeader(view, at, headerSize + size, messages[name].type, this.tag)
    this.output.commit(headerSize + size)
    return 0
  }
}

/** A message with room for `size` bytes after the header, for a Deferred. */
export function deferredMessage(size: number): Buffer {
  return Buffer.allocUnsafe(headerSize + size)
}

/** Fills in the header of a message made by `deferredMessage`. */
export function completeDeferred(bytes: Buffer, type: number, tag: number): Buffer {
  putHeader(new DataView(bytes.buffer, bytes.byteOffset, headerSize), 0, bytes.length, type, tag)
  return bytes
}

/**
 * The kernel caches a file only if its version is not 0, and takes one whose version changed for another file. So
 * it is 1 always, except for what a kernel makes up while it is read.
 */
export function qidOf(node: TreeNode): Qid {
  const type = node.kind === 'directory' ? 0x80 : node.kind === 'symlink' ? 0x02 : 0
  return { type, version: node.kind === 'file' && !node.isSynthetic ? 1 : 0, path: node.id }
}
