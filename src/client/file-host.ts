// The file server itself: one tree, served to one stream, the first that brings its nonce. Runs in a thread of its
// own (file-thread.ts), and in the main one where there are no Linux calls (file-in-process.ts).
import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto'
import { type EventEmitter, once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { serve9P } from '../9p/serve.js'
import { CpuError } from '../errors.js'
import { openTree } from '../fs/open-tree.js'
import type { FileTree } from '../fs/tree.js'
import { requests } from '../fuse/messages.js'
import { serveFuse } from '../fuse/serve.js'
import type { CachePolicy } from '../fuse/session.js'
import { VMADDR_CID_ANY, VMADDR_PORT_ANY } from '../linux/vsock.js'
import { FILE_BUFFER_BYTES, type FileProtocol } from '../namespace/file-protocol.js'
import { createVsockServer } from '../native/vsock.js'
import { openRuntimeDirectory } from '../runtime-directory.js'
import type { DirectFiles } from '../ssh/exec-request.js'

export interface FileHostOptions {
  readonly root: string
  readonly readOnly: boolean
  /** What of it is shown, by absolute paths from the root; everything by default. */
  readonly shown?: readonly string[] | undefined
  /** Those that the other side may speak. */
  readonly protocols: readonly FileProtocol[]
  /** What it may keep, by FUSE. */
  readonly cachePolicy: CachePolicy
  /** What a stream must begin with that comes through SSH. */
  readonly forwardNonce: string
  /** Who may come past SSH, and what its stream must begin with. */
  readonly direct?: { readonly from: DirectPeer; readonly nonce: string } | undefined
}

/** The machine of a CID, the one behind a unix socket that has its vsock device, or a process of this one. */
export type DirectPeer = { readonly cid: number } | { readonly vsockSocket: string } | 'here'

/** How the other side came for its files. */
export interface FileWay {
  readonly by: 'forward' | 'direct'
  readonly protocol: FileProtocol
}

/** A file server as the client sees it, in whichever thread. */
export interface FileServer {
  /** Resolves to where to come past SSH, if anywhere. Rejects with ERR_CPU_FILES when the files cannot be served. */
  readonly ready: Promise<DirectFiles['at'] | undefined>
  /** When the other side has come; rejects when it no longer can. */
  readonly taken: Promise<FileWay>
  /** Takes a stream that came through SSH. */
  admit(stream: Duplex): void
  close(): Promise<void>
}

export interface FileHostEvents {
  taken(way: FileWay): void
  /** The other side came, with a protocol by which nothing is served. */
  refused(protocol: FileProtocol): void
  /** Called with the protocol and each message, in one line. */
  readonly trace?: ((line: string) => void) | undefined
}

/** ERR_CPU_FILES */
export function cannotServe({ root }: FileHostOptions, cause: string): CpuError {
  return new CpuError('ERR_CPU_FILES', `cannot serve ${root}: ${cause}`)
}

/** ERR_CPU_FILES */
export function refusedProtocol({ protocols }: FileHostOptions, wanted: FileProtocol): CpuError {
  const choice = `-files ${protocols.join()}`
  const name = wanted === '9p' ? '9P' : 'FUSE'
  return new CpuError(
    'ERR_CPU_FILES',
    `the other side takes files by ${name}, and ${choice} does not allow it`,
    {
      remedy: `leave out ${choice}`,
    },
  )
}

const FIRST_BYTES_TIMEOUT_MS = 10_000
/** Below it are those of known services. */
const FIRST_FREE_PORT = 1024
/** Streams whose nonce has not come yet. */
const MAX_WAITING = 16

export class FileHost {
  readonly #options: FileHostOptions
  readonly #events: FileHostEvents
  readonly #tree: FileTree
  readonly #end = new AbortController()
  /** Aborted when nobody else is let in. */
  readonly #door = new AbortController()
  #isTaken = false
  #waiting = 0
  #service: Promise<void> = Promise.resolve()

  /** Throws a SystemError for a root that cannot be opened. */
  constructor(options: FileHostOptions, events: FileHostEvents) {
    this.#options = options
    this.#events = events
    const { root, readOnly, shown } = options
    const only = shown?.map(path => Buffer.from(path).toString('latin1'))
    this.#tree = openTree(root, { readOnly, only })
  }

  /** Takes a stream that came through SSH. */
  admit(stream: Duplex): void {
    this.#open(stream, this.#options.forwardNonce, 'forward')
  }

  /** Waits for the one who may come past SSH; where, or undefined where that cannot be. */
  async listen(): Promise<DirectFiles['at'] | undefined> {
    const { direct } = this.#options
    if (direct === undefined) return undefined
    const { from, nonce } = direct
    try {
      if (from === 'here') return await this.#listenOnUnix(nonce)
      return await ('cid' in from
        ? this.#listenOnVsock(from.cid, nonce)
        : this.#listenBehind(from.vsockSocket, nonce))
    } catch {
      return undefined // the forward is there as well
    }
  }

  async #listenOnVsock(cid: number, nonce: string): Promise<number | undefined> {
    const server = createVsockServer(socket => {
      if (socket.remoteCid === cid) this.#open(socket, nonce, 'direct')
      else socket.destroy()
    })
    await this.#listenOn(server, () =>
      server.listen({ cid: VMADDR_CID_ANY, port: VMADDR_PORT_ANY, bufferBytes: FILE_BUFFER_BYTES }),
    )
    return server.address()?.port
  }

  /** The guest's way to port N of its host is the socket of the same name with `_N` behind it. */
  async #listenBehind(vsockSocket: string, nonce: string): Promise<number> {
    const port = randomInt(FIRST_FREE_PORT, 2 ** 31)
    const server = createServer(stream => this.#open(stream, nonce, 'direct'))
    await this.#listenOn(server, () => server.listen(`${vsockSocket}_${port}`))
    return port
  }

  /** Nobody else can make or find a socket of that name, so whoever reaches it is who was told, and we are who told him. */
  async #listenOnUnix(nonce: string): Promise<string> {
    const path = join(openRuntimeDirectory(), `.files-${randomBytes(16).toString('hex')}`)
    const server = createServer(stream => this.#open(stream, nonce, 'direct'))
    await this.#listenOn(server, () => server.listen(path))
    return path
  }

  async #listenOn(server: EventEmitter & { close(): unknown }, listen: () => void): Promise<void> {
    this.#door.signal.addEventListener('abort', () => server.close())
    listen()
    await once(server, 'listening')
    server.on('error', () => {})
  }

  /** Ends the service, and with it every file and lock. */
  async close(): Promise<void> {
    this.#door.abort()
    this.#end.abort()
    await this.#service
    this.#tree.dispose()
  }

  #open(stream: Duplex, nonce: string, by: FileWay['by']): void {
    stream.on('error', () => stream.destroy())
    if (this.#isTaken || this.#waiting >= MAX_WAITING) return void stream.destroy()
    this.#waiting++
    take(stream, nonce.length, this.#end.signal)
      .finally(() => this.#waiting--)
      .then(first => {
        if (timingSafeEqual(first, Buffer.from(nonce))) return this.#serve(stream, by)
        throw new Error('wrong nonce')
      })
      .catch(() => stream.destroy())
  }

  async #serve(stream: Duplex, by: FileWay['by']): Promise<void> {
    if (this.#isTaken) return void stream.destroy()
    this.#isTaken = true
    this.#door.abort()
    const first = await take(stream, 8, this.#end.signal)
    stream.unshift(first)
    const protocol = protocolOf(first)
    if (protocol === undefined) return void stream.destroy()
    if (!this.#options.protocols.includes(protocol)) {
      this.#events.refused(protocol)
      return void stream.destroy()
    }
    this.#events.taken({ by, protocol })
    const { trace } = this.#events
    const options = {
      trace: trace && ((line: string) => trace(`${protocol}: ${line}`)),
      signal: this.#end.signal,
    }
    this.#service =
      protocol === 'fuse'
        ? serveFuse(stream, this.#tree, { ...options, policy: this.#options.cachePolicy })
        : serve9P(stream, this.#tree, options)
    await this.#service
  }
}

/** By the first message: Tversion (100, no tag), or what may begin FUSE. */
function protocolOf(first: Buffer): FileProtocol | undefined {
  if (first[4] === 100) return '9p'
  const opcode = first.readUInt32LE(4)
  return [requests.INIT, requests.SESSION_IDS].some(known => known.opcode === opcode) ? 'fuse' : undefined
}

/** Takes exactly so many bytes from `stream`, leaving what follows; rejects when they do not come. */
function take(stream: Duplex, length: number, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail('silence'), FIRST_BYTES_TIMEOUT_MS)
    const settle = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onEnd)
      stream.off('readable', onReadable).off('end', onEnd).off('close', onEnd)
    }
    const fail = (reason: string) => {
      settle()
      reject(new Error(reason))
    }
    const onEnd = () => fail('end')
    const onReadable = () => {
      const bytes = stream.read(length) as Buffer | null
      if (bytes === null) return
      settle()
      if (bytes.length === length) resolve(bytes)
      else reject(new Error('end'))
    }
    signal.addEventListener('abort', onEnd)
    stream.on('readable', onReadable).once('end', onEnd).once('close', onEnd)
    onReadable()
  })
}
