// A descriptor as a Duplex that behaves as net.Socket does: AF_VSOCK and unix sockets, pipe ends, pty
// masters. net.Socket itself refuses AF_VSOCK. Reading, writing and half-close are libuv's (addon/stream.cc).

import { Duplex, type DuplexOptions } from 'node:stream'
import { errnoNumber } from '../linux/errno.js'
import { binding, check, systemError } from './binding.js'
import type { NativeStream } from './stream-binding.js'

export interface FdStreamOptions {
  /** False for the end of a pipe that only takes data. */
  readable?: boolean
  /** False for the end of a pipe that only gives data. */
  writable?: boolean
  /** Whether the writing side stays open after the peer has ended; false as in net. */
  allowHalfOpen?: boolean
  /** Bytes that wait on each side before the other one is held up. */
  highWaterMark?: number
  /** What errors call it, such as `vsock/3:17010`. */
  peer?: string
}

const slabBytes = 64 * 1024
/** As much as a socket holds by default: what is lent is there once, and the fewer reads, the better. */
const lentSlabBytes = 256 * 1024
/** A read of at least this much keeps the slab it is in; a smaller one is copied out of it. */
const handOffBytes = slabBytes / 4

type Done = (error?: Error | null) => void

/**
 * A stream over a descriptor, which it owns and closes. Errors are SystemErrors that name the peer; EIO from
 * a pty master is the end. Without a descriptor (a socket that still connects) reads and writes wait for
 * attach(). The open file description becomes non-blocking, also for others that share it.
 */
export class FdStream extends Duplex {
  /** False unless a subclass connects first; ssh2 and others ask every socket. */
  connecting = false
  /** Bytes received. */
  bytesRead = 0
  /** Idle time after which 'timeout' is emitted, 0 for none. */
  timeout = 0
  readonly #peer: string
  readonly #waiting: ((handle: NativeStream) => void)[] = []
  #fd = -1
  #handle: NativeStream | undefined
  #slab = Buffer.alloc(0)
  #reading = false
  #lendsReads = false
  #bytesWritten = 0
  #keepAlive = true
  #writeDone: Done | undefined
  #shutdownDone: Done | undefined
  #closeDone: (() => void) | undefined
  #timer: NodeJS.Timeout | undefined

  /** Throws a SystemError if `fd` cannot be polled; it is the caller's then. */
  constructor(fd: number | undefined, options: FdStreamOptions = {}) {
    const { readable = true, writable = true, allowHalfOpen = false, highWaterMark = slabBytes } = options
    // The types of Node 20 do not know that Duplex takes the first two.
    const duplex: DuplexOptions & FdStreamOptions = { readable, writable, allowHalfOpen, highWaterMark }
    super(duplex)
    this.#peer = options.peer ?? `descriptor ${fd}`
    if (fd !== undefined) this.attach(fd)
  }

  /** The descriptor while it is open, to pass to system calls; undefined before and after. */
  get fd(): number | undefined {
    return this.#handle ? this.#fd : undefined
  }

  /** Bytes given to write(), those that still wait included. */
  get bytesWritten(): number {
    return this.#bytesWritten + this.writableLength
  }

  /** Puts the descriptor under the stream and lets what has waited for it go on. */
  protected attach(fd: number): void {
    const handle = new binding.Stream()
    const result = handle.open(
      fd,
      bytes => this.#onRead(bytes),
      status => this.#onWritten(status),
      status => this.#onShutdown(status),
      () => this.#closeDone?.(),
    )
    check(result, 'open', this.#peer)
    this.#fd = fd
    this.#handle = handle
    if (!this.#keepAlive) handle.keepAlive(false)
    for (const start of this.#waiting.splice(0)) start(handle)
    // As net.Socket: read ahead, so that the end is noticed even before anyone listens for data.
    if (this.readable) this.read(0)
  }

  #whenAttached(start: (handle: NativeStream) => void): void {
    if (this.#handle) start(this.#handle)
    else this.#waiting.push(start)
  }

  /**
   * From now on the memory of a chunk is used again as soon as the 'data' listener has returned, which saves
   * allocating as much as is received. Only for who has such a listener, and keeps no chunk.
   */
  lendReads(): void {
    this.#lendsReads = true
    if (this.#slab.length > 0 && this.#handle) this.#newSlab(this.#handle)
  }

  override _read(): void {
    if (this.#reading) return
    this.#reading = true
    this.#whenAttached(handle => {
      if (this.#slab.length === 0) this.#newSlab(handle)
      const result = handle.readStart()
      if (result < 0) this.destroy(systemError(result, 'read', this.#peer))
    })
  }

  #newSlab(handle: NativeStream): void {
    this.#slab = Buffer.allocUnsafeSlow(this.#lendsReads ? lentSlabBytes : slabBytes)
    handle.setReadBuffer(this.#slab)
  }

  #onRead(result: number): void {
    const handle = this.#handle
    if (!handle || this.destroyed) return
    if (result < 0) {
      this.destroy(systemError(result, 'read', this.#peer))
      return
    }
    if (result === 0) {
      this.push(null)
      // Emits 'end' even if nobody has asked for data, since nothing is left that they could miss.
      this.read(0)
      return
    }
    this.bytesRead += result
    this.#timer?.refresh()
    const filled = this.#slab.subarray(0, result)
    const isHandedOff = result >= handOffBytes && !this.#lendsReads
    if (isHandedOff) this.#newSlab(handle)
    const wantsMore = this.push(isHandedOff || this.#lendsReads ? filled : Buffer.from(filled))
    if (this.#lendsReads && this.readableLength > 0) this.#newSlab(handle) // nobody has taken it yet
    if (!wantsMore && this.#reading) {
      this.#reading = false
      handle.readStop()
    }
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#send(chunk, chunk.length, done)
  }

  override _writev(chunks: { chunk: Buffer }[], done: Done): void {
    const data = chunks.map(({ chunk }) => chunk)
    const bytes = data.reduce((sum, chunk) => sum + chunk.length, 0)
    this.#send(data, bytes, done)
  }

  #send(data: Buffer | Buffer[], bytes: number, done: Done): void {
    const finish: Done = error => {
      this.#writeDone = undefined
      if (!error) this.#bytesWritten += bytes
      this.#timer?.refresh()
      done(error)
    }
    this.#writeDone = finish
    this.#whenAttached(handle => {
      const result = handle.write(data)
      if (result < 0) finish(systemError(result, 'write', this.#peer))
      if (result === 0) finish()
    })
  }

  #onWritten(status: number): void {
    this.#writeDone?.(status < 0 ? systemError(status, 'write', this.#peer) : null)
  }

  override _final(done: Done): void {
    this.#shutdownDone = done
    this.#whenAttached(handle => {
      const result = handle.shutdown()
      if (result < 0) this.#onShutdown(result)
    })
  }

  // A pipe or pty (ENOTSOCK) has no half to close, and a peer that has gone (ENOTCONN) needs no telling.
  #onShutdown(status: number): void {
    const done = this.#shutdownDone
    this.#shutdownDone = undefined
    const error = status < 0 ? systemError(status, 'shutdown', this.#peer) : undefined
    done?.(error?.code === 'ENOTSOCK' || error?.code === 'ENOTCONN' ? null : error)
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const handle = this.#handle
    this.#handle = undefined
    if (handle) {
      this.#closeDone = () => done(error)
      handle.close()
      return
    }
    this.#waiting.length = 0
    this.#writeDone?.(error ?? systemError(errnoNumber('ECANCELED')!, 'write', this.#peer))
    done(error)
  }

  /** As net.Socket: end(), and destroy() when all is written. */
  destroySoon(): void {
    if (this.writable) this.end()
    if (this.writableFinished) this.destroy()
    else this.once('finish', () => this.destroy())
  }

  /** Emits 'timeout' after so long without reads and writes; 0 for never. The stream stays open. */
  setTimeout(timeoutMs: number, listener?: () => void): this {
    clearTimeout(this.#timer)
    this.timeout = timeoutMs
    this.#timer = timeoutMs > 0 ? setTimeout(() => this.#onIdle(), timeoutMs).unref() : undefined
    if (listener && timeoutMs > 0) this.once('timeout', listener)
    if (listener && timeoutMs === 0) this.off('timeout', listener)
    return this
  }

  #onIdle(): void {
    this.emit('timeout')
  }

  /** Nothing to set: these descriptors never hold small writes back. */
  setNoDelay(_noDelay?: boolean): this {
    return this
  }

  /** Nothing to set: a local peer that dies closes its end. */
  setKeepAlive(_enable?: boolean, _initialDelayMs?: number): this {
    return this
  }

  /** Keeps the process running while the stream is open, as at first. */
  ref(): this {
    this.#keepAlive = true
    this.#handle?.keepAlive(true)
    return this
  }

  /** Lets the process end though the stream is open. */
  unref(): this {
    this.#keepAlive = false
    this.#handle?.keepAlive(false)
    return this
  }
}

/**
 * Two connected AF_UNIX stream sockets, close-on-exec. The first does not block and is for an FdStream; the
 * second blocks and is for the kernel or a child. The caller closes both.
 */
export function socketPair(): [number, number] {
  const pair = new Int32Array(2)
  check(binding.socketPair(pair), 'socketpair', '')
  return [pair[0]!, pair[1]!]
}

/** A socket that is connected to a unix socket of this machine, close-on-exec, non-blocking. The caller closes it. */
export function connectUnix(path: string): number {
  return check(binding.connectUnix(path), 'connect', path)
}

/** A pipe, close-on-exec, that blocks except at the ends named. The caller closes both ends. */
export function pipe(options: { nonblocking?: 'read' | 'write' | 'both' } = {}): {
  read: number
  write: number
} {
  const pair = new Int32Array(2)
  const { nonblocking } = options
  const read = nonblocking === 'read' || nonblocking === 'both'
  const write = nonblocking === 'write' || nonblocking === 'both'
  check(binding.pipe(pair, read, write), 'pipe', '')
  return { read: pair[0]!, write: pair[1]! }
}

/** Another descriptor for what `fd` is open on, close-on-exec; the caller closes it. */
export function duplicateFd(fd: number): number {
  return check(binding.duplicateFd(fd), 'dup', `descriptor ${fd}`)
}

/** Ends a socket in both directions, whoever else has it; one that has ended already is no failure. */
export function shutdownFd(fd: number): void {
  binding.shutdownFd(fd)
}

/** close(2). Throws EBADF if `fd` is not open. */
export function closeFd(fd: number): void {
  check(binding.closeFd(fd), 'close', `descriptor ${fd}`)
}
