// The file server itself: one tree, served to one stream, the first that brings its nonce. Runs in a thread of its
// own (file-worker.ts), and in the main one where there are no Linux calls.
import { timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import { serve9P } from '../9p/serve.js'
import { openLocalTree } from '../fs/local-tree.js'
import type { FileTree } from '../fs/tree.js'
import { VMADDR_CID_ANY, VMADDR_PORT_ANY } from '../linux/vsock.js'
import { createVsockServer } from '../native/vsock.js'

export interface FileHostOptions {
  readonly root: string
  readonly readOnly: boolean
  /** What a stream must begin with that comes through SSH. */
  readonly forwardNonce: string
  /** The machine that may come past SSH, and what its stream must begin with. */
  readonly direct?: { readonly cid: number; readonly nonce: string } | undefined
}

/** By which the other side came for its files. */
export type FileWay = 'forward' | 'direct'

export interface FileHostEvents {
  taken(way: FileWay): void
  readonly trace?: ((line: string) => void) | undefined
}

const NONCE_TIMEOUT_MS = 10_000
/** Streams whose nonce has not come yet. */
const MAX_WAITING = 16

export class FileHost {
  readonly #options: FileHostOptions
  readonly #events: FileHostEvents
  readonly #tree: FileTree
  readonly #end = new AbortController()
  #isTaken = false
  #waiting = 0
  #service: Promise<void> = Promise.resolve()

  /** Throws a SystemError for a root that cannot be opened. */
  constructor(options: FileHostOptions, events: FileHostEvents) {
    this.#options = options
    this.#events = events
    this.#tree = openLocalTree(options.root, { readOnly: options.readOnly })
  }

  /** Takes a stream that came through SSH. */
  admit(stream: Duplex): void {
    this.#open(stream, this.#options.forwardNonce, 'forward')
  }

  /** Waits on vsock for the one machine that may come; the port, or undefined where that cannot be. */
  async listen(): Promise<number | undefined> {
    const { direct } = this.#options
    if (direct === undefined) return undefined
    const server = createVsockServer(socket => {
      if (socket.remoteCid === direct.cid) this.#open(socket, direct.nonce, 'direct')
      else socket.destroy()
    })
    this.#end.signal.addEventListener('abort', () => server.close())
    try {
      server.listen({ cid: VMADDR_CID_ANY, port: VMADDR_PORT_ANY })
      await once(server, 'listening')
    } catch {
      return undefined // the forward is there as well
    }
    server.on('error', () => {})
    return server.address()?.port
  }

  /** Ends the service, and with it every file and lock. */
  async close(): Promise<void> {
    this.#end.abort()
    await this.#service
    this.#tree.dispose()
  }

  #open(stream: Duplex, nonce: string, way: FileWay): void {
    stream.on('error', () => stream.destroy())
    if (this.#isTaken || this.#waiting >= MAX_WAITING) return void stream.destroy()
    this.#waiting++
    readNonce(stream, nonce, this.#end.signal)
      .then(() => this.#serve(stream, way))
      .catch(() => stream.destroy())
      .finally(() => this.#waiting--)
  }

  #serve(stream: Duplex, way: FileWay): void {
    if (this.#isTaken) return void stream.destroy()
    this.#isTaken = true
    this.#events.taken(way)
    this.#service = serve9P(stream, this.#tree, { trace: this.#events.trace, signal: this.#end.signal })
  }
}

/** Reads exactly the nonce from `stream`, leaving what follows; rejects on anything else. */
function readNonce(stream: Duplex, nonce: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => settle(new Error('no nonce came')), NONCE_TIMEOUT_MS)
    const settle = (error?: Error) => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onEnd)
      stream.off('readable', onReadable).off('end', onEnd).off('close', onEnd)
      if (error === undefined) resolve()
      else reject(error)
    }
    const onEnd = () => settle(new Error('ended before the nonce'))
    const onReadable = () => {
      const bytes = stream.read(nonce.length) as Buffer | null
      if (bytes === null) return
      const right = bytes.length === nonce.length && timingSafeEqual(bytes, Buffer.from(nonce))
      settle(right ? undefined : new Error('wrong nonce'))
    }
    signal.addEventListener('abort', onEnd)
    stream.on('readable', onReadable).once('end', onEnd).once('close', onEnd)
  })
}
