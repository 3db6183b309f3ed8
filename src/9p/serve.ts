// A 9P2000.L server on a stream: requests in, replies out. It knows no sockets; whoever made the connection has
// authenticated it. Requests that must wait for a device, a lock or the disk are answered when they are done, in any
// order.

import type { Duplex } from 'node:stream'
import { failure } from '../fs/failure.js'
import type { FileTree } from '../fs/tree.js'
import { MalformedMessage, Reader } from '../wire/fields.js'
import { type Deferred, RequestLoop } from '../wire/request-loop.js'
import { decodeBody, headerSize, messageName, print } from './codec.js'
import { FidTable } from './fids.js'
import { fileHandlers } from './file-handlers.js'
import { type Message, messages, type RequestName } from './messages.js'
import { nameHandlers } from './name-handlers.js'
import { completeDeferred, type Handler, type Handlers, Reply, type Session } from './session.js'
import { sessionHandlers } from './session-handlers.js'

export interface ServeOptions {
  /** The largest message that may be agreed on; 1 MiB by default, which is the most that Linux asks for. */
  readonly msizeLimit?: number
  /**
   * How many fids the client may have: by far the most of what it can make this process remember, with some 700
   * bytes for each file. All else together is bounded by about 50 MiB.
   */
  readonly maxFids?: number
  /** Ends the connection. */
  readonly signal?: AbortSignal
  /** Called with one line for each request, each reply, and the reason for the end. */
  readonly trace?: ((line: string) => void) | undefined
}

const defaultMsizeLimit = 1024 * 1024
const defaultMaxFids = 524_288
/** Enough for Tversion. */
const firstMsize = 8192
let connections = 0

const handlers: Handlers<RequestName> = { ...sessionHandlers, ...fileHandlers, ...nameHandlers }

interface RequestType<N extends RequestName = RequestName> {
  readonly name: N
  readonly handle: Handler<N>
}

/** By the number of its type, every request. */
const requestTypes: (RequestType | undefined)[] = new Array(256).fill(undefined)
for (const name of Object.keys(handlers) as RequestName[])
  requestTypes[messages[name].type] = { name, handle: handlers[name] as Handler<RequestName> }

/**
 * Serves the tree on the stream until that ends, by whichever side; then closes every fid, file and lock and
 * resolves. It never rejects: a client that breaks the protocol loses its connection. The stream's write callbacks
 * must mean that it has no more use for the bytes, as is true of sockets and of ssh2's channels.
 */
export function serve9P(stream: Duplex, tree: FileTree, options: ServeOptions = {}): Promise<void> {
  return new Promise(resolve => new Connection(stream, tree, options, resolve))
}

interface Pending extends Deferred {
  isFlushed: boolean
}

class Connection implements Session {
  readonly tree: FileTree
  readonly fids: FidTable
  readonly msizeLimit: number
  msize = 0
  waitingLocks = 0
  readonly number = ++connections
  readonly #trace: ((line: string) => void) | undefined
  readonly #resolve: () => void
  readonly #loop: RequestLoop
  readonly #reply: Reply
  readonly #reader = new Reader()
  readonly #pending = new Map<number, Pending>()

  constructor(stream: Duplex, tree: FileTree, options: ServeOptions, resolve: () => void) {
    this.tree = tree
    this.fids = new FidTable(tree, options.maxFids ?? defaultMaxFids)
    this.msizeLimit = options.msizeLimit ?? defaultMsizeLimit
    this.#trace = options.trace
    this.#resolve = resolve
    this.#loop = new RequestLoop(stream, {
      minSize: headerSize,
      maxSize: firstMsize,
      onMessage: (bytes, view, start, end) => this.#request(bytes, view, start, end),
      onEnd: reason => this.#ended(reason),
      signal: options.signal,
    })
    this.#reply = new Reply(this.#loop.output)
  }

  reset(msize: number): void {
    for (const tag of [...this.#pending.keys()]) this.flush(tag)
    this.fids.clear()
    this.msize = msize
    this.#loop.setMaxSize(Math.max(msize, firstMsize), msize)
  }

  flush(tag: number): void {
    const pending = this.#pending.get(tag)
    if (pending === undefined) return
    this.#pending.delete(tag)
    pending.isFlushed = true
    pending.cancel?.()
  }

  #request(bytes: Buffer, view: DataView, start: number, end: number): void {
    const type = bytes[start + 4]!
    const tag = view.getUint16(start + 5, true)
    const request = requestTypes[type]
    if (this.#pending.size > 0 && this.#pending.has(tag)) return this.#loop.end(`tag ${tag} used twice`)
    this.#reply.tag = tag
    if (request === undefined) this.#fail(tag, failure.EOPNOTSUPP)
    else if (this.msize === 0 && request.name !== 'Tversion') this.#fail(tag, failure.EPROTO)
    else {
      this.#reader.reset(bytes, view, start + headerSize, end)
      this.#dispatch(request, type, tag)
    }
  }

  #dispatch<N extends RequestName>({ name, handle }: RequestType<N>, type: number, tag: number): void {
    let request: Message<N>
    try {
      request = decodeBody(name, this.#reader)
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error
      this.#trace?.(`> ${name} tag=${tag}: ${error.message}`)
      this.#fail(tag, failure.EINVAL)
      return
    }
    if (this.#trace !== undefined) this.#trace(`> ${print(name, tag, request)}`)
    const outcome = handle(this, request, this.#reply)
    if (typeof outcome === 'object')
      this.#defer(type + 1, tag, outcome, dataSize(request as { count?: number; data?: Uint8Array }))
    else if (outcome < 0) this.#fail(tag, outcome)
    else if (this.#trace !== undefined) this.#traceReply(this.#loop.output.lastMessage())
  }

  #fail(tag: number, result: number): void {
    this.#reply.tag = tag
    this.#reply.send('Rlerror', { ecode: -result })
    if (this.#trace !== undefined) this.#traceReply(this.#loop.output.lastMessage())
  }

  #defer(type: number, tag: number, deferred: Deferred, size: number): void {
    const pending: Pending = { ...deferred, isFlushed: false }
    this.#pending.set(tag, pending)
    this.#loop.await(pending.result, Math.min(size, this.msize), failure.EIO, result => {
      if (pending.isFlushed) return
      this.#pending.delete(tag)
      if (typeof result === 'number') {
        this.#fail(tag, result)
        this.#loop.output.flush()
        return
      }
      const message = completeDeferred(result, type, tag)
      if (this.#trace !== undefined) this.#traceReply(message)
      this.#loop.output.append(message)
    })
  }

  #traceReply(bytes: Buffer): void {
    const name = messageName(bytes[4]!)
    if (name === undefined) return
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const value = decodeBody(name, new Reader().reset(bytes, view, headerSize, bytes.length))
    this.#trace?.(`< ${print(name, bytes.readUInt16LE(5), value)}`)
  }

  #ended(reason: string): void {
    this.#trace?.(`end: ${reason}`)
    for (const tag of [...this.#pending.keys()]) this.flush(tag)
    this.fids.clear()
    this.#resolve()
  }
}

/** How much data a request holds or asks for. */
function dataSize(request: { count?: number; data?: Uint8Array }): number {
  return request.data?.length ?? request.count ?? 0
}
