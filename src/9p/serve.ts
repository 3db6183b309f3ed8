// A 9P2000.L server on a stream: requests in, replies out. It knows no sockets; whoever made the connection has
// authenticated it. Requests that arrived together are handled in one turn and answered with one write; those that
// must wait for a device, a lock or the disk are answered when they are done, in any order.

import type { Duplex } from 'node:stream'
import { failure } from '../fs/failure.js'
import type { FileTree } from '../fs/tree.js'
import { decodeBody, headerSize, messageName, print } from './codec.js'
import { FidTable } from './fids.js'
import { fileHandlers } from './file-handlers.js'
import { FrameSplitter } from './framing.js'
import type { Message, RequestName } from './messages.js'
import { nameHandlers } from './name-handlers.js'
import { Output } from './output.js'
import {
  completeDeferred,
  type Deferred,
  type Handler,
  type Handlers,
  Reply,
  type Session,
} from './session.js'
import { sessionHandlers } from './session-handlers.js'
import { MalformedMessage, Reader } from './wire.js'

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
  /** How long to look for the next request before sleeping, 0 by default: costs a busy core, saves a wake-up. */
  readonly pollMicroseconds?: number
}

const defaultMsizeLimit = 1024 * 1024
const defaultMaxFids = 524_288
/** Enough for Tversion. */
const firstMsize = 8192
/** Requests wait while more than this is on its way out, or being read for it. */
const maxUnsent = 8 * 1024 * 1024
/** What a reply that is not ready yet counts as, besides the data it asks for. */
const deferredCost = 1024
/** How long requests that lie there are handled before it is the turn of other connections, and how many at least. */
const turnMs = 10
const turnRequests = 16
/** How long a client may take to read the last replies. */
const lingerMs = 2000

let connections = 0

const handlers: Handlers<RequestName> = { ...sessionHandlers, ...fileHandlers, ...nameHandlers }

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
  readonly cost: number
}

class Connection implements Session {
  readonly tree: FileTree
  readonly fids: FidTable
  readonly msizeLimit: number
  msize = 0
  waitingLocks = 0
  readonly number = ++connections
  readonly #stream: Duplex
  readonly #trace: ((line: string) => void) | undefined
  readonly #resolve: () => void
  readonly #frames = new FrameSplitter(firstMsize, (bytes, view, start, end) =>
    this.#request(bytes, view, start, end),
  )
  readonly #output: Output
  readonly #reply: Reply
  readonly #reader = new Reader()
  readonly #pending = new Map<number, Pending>()
  readonly #poll: (() => void) | undefined
  /** What the replies that are not ready may come to. */
  #deferredBytes = 0
  #isEnded = false
  #turnEnd = 0
  #turnRequests = 0

  constructor(stream: Duplex, tree: FileTree, options: ServeOptions, resolve: () => void) {
    this.tree = tree
    this.fids = new FidTable(tree, options.maxFids ?? defaultMaxFids)
    this.msizeLimit = options.msizeLimit ?? defaultMsizeLimit
    this.#stream = stream
    this.#trace = options.trace
    this.#resolve = resolve
    this.#output = new Output(stream, () => this.#continue())
    this.#reply = new Reply(this.#output)
    this.#poll = options.pollMicroseconds ? poller(options.pollMicroseconds) : undefined
    const abort = () => this.#end('aborted')
    stream.on('data', (chunk: Buffer) => this.#receive(chunk))
    stream.on('end', () => this.#end('end of stream'))
    stream.on('error', error => this.#end(error.message))
    stream.on('close', () => {
      options.signal?.removeEventListener('abort', abort)
      this.#end('closed')
    })
    if (options.signal?.aborted) abort()
    else options.signal?.addEventListener('abort', abort, { once: true })
  }

  reset(msize: number): void {
    for (const tag of [...this.#pending.keys()]) this.flush(tag)
    this.fids.clear()
    this.msize = msize
    this.#frames.maxSize = Math.max(msize, firstMsize)
    this.#output.setMaxSize(msize)
  }

  flush(tag: number): void {
    const pending = this.#pending.get(tag)
    if (pending === undefined) return
    this.#pending.delete(tag)
    pending.isFlushed = true
    pending.cancel?.()
  }

  get #isFull(): boolean {
    return this.#output.unsent + this.#deferredBytes > maxUnsent
  }

  #receive(chunk: Buffer): void {
    this.#work(() => this.#frames.push(chunk))
    this.#poll?.()
  }

  /** Takes up the requests left lying when too much was on its way out. */
  #continue(): void {
    if (this.#isEnded || this.#isFull || !this.#stream.isPaused()) return
    this.#work(() => this.#frames.resume())
  }

  #work(handleFrames: () => void): void {
    if (this.#isEnded) return
    this.#turnEnd = performance.now() + turnMs
    try {
      handleFrames()
    } catch (error) {
      // A FramingError, or a mistake of ours: either way what follows can not be trusted, and others go on.
      this.#output.flush()
      this.#end(error instanceof Error ? error.message : String(error))
      return
    }
    if (this.#isEnded) return
    this.#output.flush()
    if (this.#frames.isHeld || this.#isFull) {
      this.#stream.pause()
      if (!this.#isFull) setImmediate(() => this.#continue())
    } else if (this.#stream.isPaused()) this.#stream.resume()
  }

  get #isTurnOver(): boolean {
    return ++this.#turnRequests % turnRequests === 0 && performance.now() > this.#turnEnd
  }

  #request(bytes: Buffer, view: DataView, start: number, end: number): boolean {
    const type = bytes[start + 4]!
    const tag = view.getUint16(start + 5, true)
    const name = messageName(type)
    if (this.#pending.has(tag)) {
      this.#end(`tag ${tag} used twice`)
      return false
    }
    this.#reply.tag = tag
    if (name === undefined || !name.startsWith('T')) this.#fail(tag, failure.EOPNOTSUPP)
    else if (this.msize === 0 && name !== 'Tversion') this.#fail(tag, failure.EPROTO)
    else {
      this.#reader.reset(bytes, view, start + headerSize, end)
      this.#dispatch(name as RequestName, type, tag)
    }
    return !this.#isFull && !this.#isEnded && !this.#isTurnOver
  }

  #dispatch<N extends RequestName>(name: N, type: number, tag: number): void {
    let request: Message<N>
    try {
      request = decodeBody(name, this.#reader)
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error
      this.#trace?.(`> ${name} tag=${tag}: ${error.message}`)
      this.#fail(tag, failure.EINVAL)
      return
    }
    this.#trace?.(`> ${print(name, tag, request)}`)
    const handler: Handler<N> = handlers[name]
    const outcome = handler(this, request, this.#reply)
    if (typeof outcome === 'object')
      this.#defer(type + 1, tag, outcome, dataSize(request as { count?: number; data?: Uint8Array }))
    else if (outcome < 0) this.#fail(tag, outcome)
    else if (this.#trace !== undefined) this.#traceReply(this.#output.lastMessage())
  }

  #fail(tag: number, result: number): void {
    this.#reply.tag = tag
    this.#reply.send('Rlerror', { ecode: -result })
    if (this.#trace !== undefined) this.#traceReply(this.#output.lastMessage())
  }

  #defer(type: number, tag: number, deferred: Deferred, size: number): void {
    const cost = Math.min(size, this.msize) + deferredCost
    const pending: Pending = { ...deferred, isFlushed: false, cost }
    this.#pending.set(tag, pending)
    this.#deferredBytes += cost
    pending.result.then(
      result => this.#settle(type, tag, pending, result),
      () => this.#settle(type, tag, pending, failure.EIO),
    )
  }

  #settle(type: number, tag: number, pending: Pending, result: number | Buffer): void {
    this.#deferredBytes -= pending.cost
    if (!pending.isFlushed && !this.#isEnded) {
      this.#pending.delete(tag)
      if (typeof result === 'number') {
        this.#fail(tag, result)
        this.#output.flush()
      } else {
        const message = completeDeferred(result, type, tag)
        if (this.#trace !== undefined) this.#traceReply(message)
        this.#output.append(message)
      }
    }
    this.#continue()
  }

  #traceReply(bytes: Buffer): void {
    const name = messageName(bytes[4]!)
    if (name === undefined) return
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const value = decodeBody(name, new Reader().reset(bytes, view, headerSize, bytes.length))
    this.#trace?.(`< ${print(name, bytes.readUInt16LE(5), value)}`)
  }

  #end(reason: string): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#trace?.(`end: ${reason}`)
    for (const tag of [...this.#pending.keys()]) this.flush(tag)
    this.fids.clear()
    this.#hangUp()
    this.#resolve()
  }

  #hangUp(): void {
    const stream = this.#stream
    if (!stream.writable || stream.writableLength === 0) {
      stream.destroy()
      return
    }
    const timer = setTimeout(() => stream.destroy(), lingerMs)
    timer.unref()
    stream.once('close', () => clearTimeout(timer))
    stream.end(() => stream.destroy())
  }
}

/** How much data a request holds or asks for. */
function dataSize(request: { count?: number; data?: Uint8Array }): number {
  return request.data?.length ?? request.count ?? 0
}

/**
 * Keeps the event loop from sleeping until so long after the last call: a wake-up costs an idle machine more than
 * most requests do.
 */
function poller(microseconds: number): () => void {
  const nanoseconds = BigInt(microseconds) * 1000n
  let deadline = 0n
  let isRunning = false
  const turn = () => {
    isRunning = process.hrtime.bigint() < deadline
    if (isRunning) setImmediate(turn)
  }
  return () => {
    deadline = process.hrtime.bigint() + nanoseconds
    if (!isRunning) {
      isRunning = true
      setImmediate(turn)
    }
  }
}
