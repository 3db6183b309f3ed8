// AF_VSOCK connections and servers with the events and the shape of node:net (vsock(7)). Called by
// transport/.

import { EventEmitter } from 'node:events'
import { addAbortSignal } from 'node:stream'
import { CpuError } from '../errors.js'
import { errnoNumber } from '../linux/errno.js'
import { VMADDR_CID_ANY, VMADDR_PORT_ANY } from '../linux/vsock.js'
import { binding, check, systemError } from './binding.js'
import { closeFd, FdStream, type FdStreamOptions } from './fd-stream.js'
import type { NativePoll } from './vsock-binding.js'

/** Both are unsigned 32-bit numbers. */
export interface VsockAddress {
  cid: number
  port: number
}

export interface VsockConnectOptions extends VsockAddress, Omit<FdStreamOptions, 'peer'> {
  /** Limit for the connection to be made; without one, the kernel's (2 s). */
  timeoutMs?: number | undefined
  /** What the peer may send before it is read; the kernel's own by default, 256 KiB. */
  bufferBytes?: number | undefined
  /** Destroys the socket, connected or not, with an AbortError. */
  signal?: AbortSignal | undefined
}

/** Throws ERR_CPU_VSOCK_ADDRESS unless CID and port are whole numbers of 32 bits. */
export function checkVsockAddress(address: VsockAddress): void {
  for (const [what, value] of [
    ['CID', address.cid],
    ['port', address.port],
  ] as const) {
    if (Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff) continue
    throw new CpuError('ERR_CPU_VSOCK_ADDRESS', `not a vsock ${what}: ${value}`, {
      remedy: 'use a whole number from 0 to 4294967295',
    })
  }
}

const nameOf = ({ cid, port }: VsockAddress) => `vsock/${cid}:${port}`

/** The address of this end or of the peer; undefined if it has none (any more). */
function addressOf(fd: number, peer: boolean): VsockAddress | undefined {
  const out = new Uint32Array(2)
  return binding.vsockAddress(fd, peer, out) < 0 ? undefined : { cid: out[0]!, port: out[1]! }
}

/**
 * One connection: of connectVsock(), with 'connect' and 'ready' once it is made, or of a VsockServer. Errors
 * name the peer: `ENODEV: no such device, connect vsock/3:17010`.
 */
export class VsockSocket extends FdStream {
  readonly remoteCid: number
  readonly remotePort: number
  readonly remoteFamily = 'vsock'
  #local: VsockAddress | undefined
  #poll: NativePoll | undefined
  #connectTimer: NodeJS.Timeout | undefined

  /** Use connectVsock(). With `fd` the socket is connected already, without it connects. */
  constructor(
    remote: VsockAddress,
    fd: number | undefined,
    options: FdStreamOptions & Pick<VsockConnectOptions, 'timeoutMs' | 'bufferBytes'> = {},
  ) {
    super(undefined, { ...options, peer: nameOf(remote) })
    this.remoteCid = remote.cid
    this.remotePort = remote.port
    if (fd === undefined) {
      this.#connect(options.timeoutMs ?? 0, options.bufferBytes ?? 0)
    } else {
      this.#local = addressOf(fd, false)
      this.attach(fd)
    }
  }

  /** The peer as `vsock/3`. */
  get remoteAddress(): string {
    return `vsock/${this.remoteCid}`
  }

  /** Undefined until connected. */
  get localCid(): number | undefined {
    return this.#local?.cid
  }

  get localPort(): number | undefined {
    return this.#local?.port
  }

  #connect(timeoutMs: number, bufferBytes: number): void {
    this.connecting = true
    const fd = binding.vsockConnect(this.remoteCid, this.remotePort, timeoutMs, bufferBytes)
    if (fd < 0) {
      this.#fail(fd)
      return
    }
    const poll = new binding.Poll()
    const result = poll.open(
      fd,
      () => this.#onDecided(fd),
      () => {},
    )
    if (result < 0) {
      closeFd(fd)
      this.#fail(result)
      return
    }
    this.#poll = poll
    poll.start(true)
    if (timeoutMs === 0) return
    // The kernel has the same limit, but does not keep it while it waits for a lock of its own.
    this.#connectTimer = setTimeout(() => this.#fail(errnoNumber('ETIMEDOUT')!), timeoutMs)
  }

  #onDecided(fd: number): void {
    const result = binding.vsockConnectResult(fd)
    if (result < 0) {
      this.#fail(result)
      return
    }
    this.#local = addressOf(fd, false)
    this.connecting = false
    clearTimeout(this.#connectTimer)
    this.#poll?.release()
    this.#poll = undefined
    this.attach(fd)
    this.emit('connect')
    this.emit('ready')
  }

  #fail(errno: number): void {
    this.destroy(systemError(errno, 'connect', nameOf({ cid: this.remoteCid, port: this.remotePort })))
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.connecting = false
    clearTimeout(this.#connectTimer)
    this.#poll?.close()
    this.#poll = undefined
    super._destroy(error, done)
  }

  override ref(): this {
    this.#poll?.keepAlive(true)
    this.#connectTimer?.ref()
    return super.ref()
  }

  override unref(): this {
    this.#poll?.keepAlive(false)
    this.#connectTimer?.unref()
    return super.unref()
  }
}

/**
 * Connects. The socket can be written to at once; failures come as 'error': ENODEV (no transport for that
 * CID, or no machine with it), ECONNRESET or ECONNREFUSED (nobody listens), ETIMEDOUT, AbortError. Throws
 * ERR_CPU_VSOCK_ADDRESS.
 */
export function connectVsock(options: VsockConnectOptions): VsockSocket {
  checkVsockAddress(options)
  const { signal, cid, port, ...rest } = options
  const socket = new VsockSocket({ cid, port }, undefined, rest)
  return signal ? addAbortSignal(signal, socket) : socket
}

/** This machine's CID; undefined where AF_VSOCK is missing or has no transport. */
export function localCid(): number | undefined {
  const cid = binding.vsockLocalCid()
  return cid < 0 || cid === VMADDR_CID_ANY ? undefined : cid
}

/**
 * Gives the guest of an open /dev/vhost-vsock its CID, which is its own until the last descriptor is closed. False where
 * somebody else has it. Throws ERR_CPU_VSOCK_ADDRESS and SystemError.
 */
export function setGuestCid(fd: number, cid: number): boolean {
  checkVsockAddress({ cid, port: 0 })
  const result = binding.vhostSetGuestCid(fd, cid)
  if (-result === errnoNumber('EADDRINUSE')) return false
  check(result, 'ioctl', `VHOST_VSOCK_SET_GUEST_CID ${cid}`)
  return true
}

export interface VsockListenOptions {
  /** Which of this machine's CIDs to listen on; VMADDR_CID_ANY by default. */
  cid?: number
  /** VMADDR_PORT_ANY, the default, picks a free one: see address(). */
  port?: number
  /** Connections that may wait to be accepted. */
  backlog?: number
  /** What each peer may send before it is read; the kernel's own by default, 256 KiB. */
  bufferBytes?: number
}

/** Events of a VsockServer, with their arguments. */
export interface VsockServerEvents {
  listening: []
  connection: [socket: VsockSocket]
  /**
   * A connection could not be accepted for want of descriptors or memory; it is tried again after a while.
   */
  drop: [error: Error]
  error: [error: Error]
  /** close() was called, and all connections have ended. */
  close: []
}

/** Accept errors that pass: those of one connection, and those of a machine that is short of something. */
const lostConnection = new Set(['ECONNABORTED', 'ECONNRESET', 'EPROTO', 'ENOTCONN', 'ETIMEDOUT'])
const shortage = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM'])
const shortagePauseMs = 100
/** So many connections are accepted before other events have their turn. */
const acceptBatch = 32

/** A server as net.Server is one, with `{ cid, port }` for addresses. */
export class VsockServer extends EventEmitter<VsockServerEvents> {
  readonly #options: FdStreamOptions
  #poll: NativePoll | undefined
  #fd = -1
  #address: VsockAddress | undefined
  #connections = 0
  #closing = false
  #keepAlive = true
  #pause: NodeJS.Timeout | undefined

  /** `options` are those of the sockets that it accepts. Use createVsockServer(). */
  constructor(options: FdStreamOptions = {}) {
    super()
    this.#options = options
  }

  get listening(): boolean {
    return this.#poll !== undefined
  }

  /** CID and port it listens on; undefined while it does not. */
  address(): VsockAddress | undefined {
    return this.#address
  }

  /**
   * Starts to listen; 'listening' or 'error' (EADDRINUSE, EADDRNOTAVAIL ...) follows. Throws
   * ERR_CPU_VSOCK_ADDRESS.
   */
  listen(options: VsockListenOptions, onListening?: () => void): this {
    const { cid = VMADDR_CID_ANY, port = VMADDR_PORT_ANY, backlog = 511, bufferBytes = 0 } = options
    checkVsockAddress({ cid, port })
    if (this.#poll)
      throw new CpuError('ERR_CPU_VSOCK_LISTENING', `listens already on ${nameOf(this.#address!)}`)
    if (onListening) this.once('listening', onListening)
    const result = this.#open(cid, port, backlog, bufferBytes)
    process.nextTick(() => {
      if (result < 0) this.emit('error', systemError(result, 'listen', nameOf({ cid, port })))
      else if (this.#poll) this.emit('listening')
    })
    return this
  }

  #open(cid: number, port: number, backlog: number, bufferBytes: number): number {
    const fd = binding.vsockListen(cid, port, backlog, bufferBytes)
    if (fd < 0) return fd
    const poll = new binding.Poll()
    const result = poll.open(
      fd,
      () => this.#accept(),
      () => this.#closeIfDone(),
    )
    if (result < 0) {
      closeFd(fd)
      return result
    }
    this.#fd = fd
    this.#poll = poll
    this.#closing = false
    this.#address = addressOf(fd, false)
    if (!this.#keepAlive) poll.keepAlive(false)
    return poll.start(false)
  }

  #accept(): void {
    // A listener may close the server.
    for (let i = 0; i < acceptBatch && this.#poll; i++) {
      const fd = binding.vsockAccept(this.#fd)
      if (fd >= 0) this.#welcome(fd)
      else if (!this.#acceptAgain(fd)) return
    }
  }

  #acceptAgain(errno: number): boolean {
    const error = systemError(errno, 'accept', nameOf(this.#address!))
    if (error.code === 'EAGAIN') return false
    if (lostConnection.has(error.code)) return true
    if (shortage.has(error.code)) {
      this.#poll?.stop()
      this.#pause = setTimeout(() => this.#poll?.start(false), shortagePauseMs)
      if (!this.#keepAlive) this.#pause.unref()
      this.emit('drop', error)
    } else {
      this.close()
      this.emit('error', error)
    }
    return false
  }

  #welcome(fd: number): void {
    const remote = addressOf(fd, true)
    if (!remote) {
      closeFd(fd)
      return
    }
    const socket = new VsockSocket(remote, fd, this.#options)
    this.#connections++
    socket.once('close', () => {
      this.#connections--
      this.#closeIfDone()
    })
    this.emit('connection', socket)
  }

  /** Stops listening at once; 'close' follows when all connections have ended. */
  close(onClosed?: () => void): this {
    if (onClosed) this.once('close', onClosed)
    clearTimeout(this.#pause)
    const poll = this.#poll
    this.#poll = undefined
    this.#address = undefined
    this.#closing = true
    if (poll) poll.close()
    else process.nextTick(() => this.#closeIfDone())
    return this
  }

  #closeIfDone(): void {
    if (!this.#closing || this.#connections > 0) return
    this.#closing = false
    this.emit('close')
  }

  /** Keeps the process running while the server listens, as at first. */
  ref(): this {
    this.#keepAlive = true
    this.#poll?.keepAlive(true)
    return this
  }

  unref(): this {
    this.#keepAlive = false
    this.#poll?.keepAlive(false)
    return this
  }
}

/** A server that does not listen yet; `options` are those of the sockets that it accepts. */
export function createVsockServer(
  options?: FdStreamOptions | ((socket: VsockSocket) => void),
  onConnection?: (socket: VsockSocket) => void,
): VsockServer {
  const listener = typeof options === 'function' ? options : onConnection
  const server = new VsockServer(typeof options === 'function' ? {} : options)
  return listener ? server.on('connection', listener) : server
}
