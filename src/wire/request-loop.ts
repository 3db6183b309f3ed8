// What a server of requests on a stream does whatever the protocol: messages that arrived together are handled in one
// turn and answered with one write; while much is on its way out, or being waited for, requests are left lying; a
// flood of them does not keep others from their turn.

import type { Duplex } from 'node:stream'
import { BusyWait } from './busy-wait.js'
import { FrameSplitter } from './framing.js'
import { Output } from './output.js'

/** Requests wait while more than this is on its way out, or being read for it. */
const maxUnsent = 8 * 1024 * 1024
/** What a reply that is not ready yet counts as, besides its data. */
const deferredCost = 1024
/**
 * How long requests that lie there are handled before it is the turn of other connections. To look at the clock takes
 * as long as some requests do, so that is done only after so many of them, or so many bytes of replies.
 */
const turnMs = 10
const clockRequests = 16
const clockBytes = 65536
/** How long the other side may take to read the last replies. */
const lingerMs = 2000

/** A reply that is not ready yet. */
export interface Deferred {
  /** A negative errno, or a message whose header is still to be filled in. */
  readonly result: Promise<number | Buffer>
  /** Gives up, where that is possible; the result then does not matter. */
  cancel?(): void
}

export interface RequestLoopOptions {
  /** Sizes of a message, with its header. */
  readonly minSize: number
  readonly maxSize: number
  /** A whole message, whose bytes stay what they are until it returns. What it throws ends the connection. */
  onMessage(bytes: Buffer, view: DataView, start: number, end: number): void
  /** Called once, before what is left of the replies goes out. */
  onEnd(reason: string): void
  /** Ends the connection. */
  readonly signal?: AbortSignal | undefined
}

export class RequestLoop {
  readonly output: Output
  readonly #stream: Duplex
  readonly #options: RequestLoopOptions
  readonly #frames: FrameSplitter
  /** What the replies that are not ready may come to. */
  #deferredBytes = 0
  #isEnded = false
  readonly #wait = new BusyWait()
  #isContinuing = false
  #turnEnd = 0
  /** Requests since the clock was looked at, and what was on its way out then. */
  #requests = 0
  #unsent = 0

  /** The stream's write callbacks must mean that it has no more use for the bytes. */
  constructor(stream: Duplex, options: RequestLoopOptions) {
    this.#stream = stream
    this.#options = options
    this.output = new Output(stream, () => this.#continue())
    this.#frames = new FrameSplitter(
      options.maxSize,
      (bytes, view, start, end) => this.#take(bytes, view, start, end),
      options.minSize,
    )
    const { signal } = options
    const abort = () => this.end('aborted')
    stream.on('data', (chunk: Buffer) => this.#work(() => this.#frames.push(chunk)))
    if ('lendReads' in stream && typeof stream.lendReads === 'function') stream.lendReads()
    stream.on('end', () => this.end('end of stream'))
    stream.on('error', error => this.end(error.message))
    stream.on('close', () => {
      signal?.removeEventListener('abort', abort)
      this.end('closed')
    })
    if (signal?.aborted) queueMicrotask(abort)
    else signal?.addEventListener('abort', abort, { once: true })
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  /** From now on messages may have that many bytes, requests as replies. */
  setMaxSize(requests: number, replies: number): void {
    this.#frames.maxSize = requests
    this.output.setMaxSize(replies)
  }

  /** Calls `settle` with the result, unless it has ended by then; until then it counts as `size` bytes of reply. */
  await<T>(result: Promise<T>, size: number, failed: T, settle: (result: T) => void): void {
    const cost = size + deferredCost
    this.#deferredBytes += cost
    const done = (value: T) => {
      this.#deferredBytes -= cost
      if (!this.#isEnded) settle(value)
      this.#continue()
    }
    result.then(done, () => done(failed))
  }

  end(reason: string): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#options.onEnd(reason)
    this.#wait.close()
    this.#hangUp()
  }

  get #isFull(): boolean {
    return this.output.unsent + this.#deferredBytes > maxUnsent
  }

  /**
   * Takes up the requests left lying, if there is room for the replies; in another turn, though a stream may call back
   * for what it has taken in this one.
   */
  #continue(): void {
    if (this.#isEnded || this.#isFull || this.#isContinuing || !this.#stream.isPaused()) return
    this.#isContinuing = true
    setImmediate(() => {
      this.#isContinuing = false
      this.#work(() => this.#frames.resume())
    })
  }

  #work(handleFrames: () => void): void {
    if (this.#isEnded) return
    this.#wait.end()
    this.#turnEnd = performance.now() + turnMs
    this.#requests = 0
    this.#unsent = this.output.unsent
    try {
      handleFrames()
    } catch (error) {
      // A FramingError, or a mistake of ours: either way what follows can not be trusted, and others go on.
      this.output.flush()
      this.end(error instanceof Error ? error.message : String(error))
      return
    }
    if (this.#isEnded) return
    this.output.flush()
    if (this.#frames.isHeld || this.#isFull) {
      this.#stream.pause()
      this.#continue()
      return
    }
    if (this.#stream.isPaused()) this.#stream.resume()
    this.#wait.begin()
  }

  /** Whether to go on with the next message that is there. */
  #take(bytes: Buffer, view: DataView, start: number, end: number): boolean {
    this.#options.onMessage(bytes, view, start, end)
    return !this.#isFull && !this.#isEnded && !this.#isTurnOver
  }

  get #isTurnOver(): boolean {
    const { unsent } = this.output
    if (++this.#requests < clockRequests && unsent - this.#unsent < clockBytes) return false
    this.#requests = 0
    this.#unsent = unsent
    return performance.now() > this.#turnEnd
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
