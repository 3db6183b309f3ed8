// The way back to the client's files, which the kernel mounts. The stream is a connection of its own, by vsock or a
// unix socket, where the client offers one; else a channel through the forward. By 9P the kernel gets the stream itself,
// by FUSE a device that is joined to it.
import { once } from 'node:events'
import { writeSync } from 'node:fs'
import type ssh2 from 'ssh2'
import { CpuError } from '../errors.js'
import { encodeRequest } from '../fuse/codec.js'
import type { Ids } from '../fuse/owners.js'
import { FILE_BUFFER_BYTES, type FileProtocol } from '../namespace/file-protocol.js'
import { closeFd, connectUnix, duplicateFd, shutdownFd, socketPair } from '../native/fd-stream.js'
import { FUSE_DEVICE, FusePump, openFuse } from '../native/fuse.js'
import type { ProgramRequest } from '../native/spawn.js'
import { connectVsock } from '../native/vsock.js'
import type { DirectFiles } from '../ssh/exec-request.js'
import { joinChannel } from '../ssh/join.js'
import { guardChannel } from './channel-guard.js'

/** Until closed, what the kernel writes to its descriptor goes to the client's file server, and back. */
export interface FileConnection {
  readonly protocol: FileProtocol
  /** Whether it goes past SSH, so that reading more than was asked for costs little. */
  readonly isDirect: boolean
  /** What spawnProgram mounts; once only, since a descriptor in it is then spawnProgram's. */
  toMount(): Pick<ProgramRequest, 'fileConnectionFd' | 'fuseDevice'>
  /** By FUSE: takes over the device, which is mounted by now, and joins it to the stream. */
  join(device: number): void
  /** Ends it, so that nothing waits for the client; file operations still under way fail with EIO. */
  close(): void
}

/** Where the client waits. */
export interface FileOffer {
  /** By which the client serves its files, best first. */
  readonly protocols: readonly FileProtocol[]
  /** Not so in a session's user namespace. */
  readonly mayMountNineP?: boolean
  /** Of the session's user, where he is not cpud's: by FUSE, what is the client's own is shown as his. */
  readonly sessionIds?: Ids | undefined
  readonly forward: { readonly host: string; readonly port: number; readonly nonce: string }
  readonly direct: DirectFiles | undefined
  /** Of a client that came over vsock. */
  readonly peerCid?: number | undefined
}

/** Connects and brings the nonce. Rejects when the client refuses, or this machine has none of its protocols. */
export async function connectFiles(client: ssh2.Connection, offer: FileOffer): Promise<FileConnection> {
  const protocol = chooseProtocol(offer)
  const stream = await connect(client, protocol === 'fuse' ? offer : { ...offer, sessionIds: undefined })
  return protocol === '9p' ? new KernelEnd(stream) : new FuseEnd(stream)
}

/** Throws ERR_CPU_FILES. */
function chooseProtocol({ protocols, mayMountNineP = true }: FileOffer): FileProtocol {
  const [offersFuse, offersNineP] = [protocols.includes('fuse'), protocols.includes('9p')]
  if (!mayMountNineP) {
    if (offersFuse) return 'fuse'
    throw new CpuError('ERR_CPU_FILES', 'cpud runs as an ordinary user here, who cannot mount 9P', {
      remedy: 'leave out -files 9p, or run cpud as root',
    })
  }
  if (offersFuse && hasFuse()) return 'fuse'
  if (offersNineP) return '9p'
  throw new CpuError('ERR_CPU_FILES', `this machine has no FUSE (${FUSE_DEVICE})`, {
    remedy: 'load the module fuse there, or use -files 9p',
  })
}

function hasFuse(): boolean {
  try {
    closeFd(openFuse())
    return true
  } catch {
    return false
  }
}

/** What comes before all messages of the kernel. */
function greeting(nonce: string, ids: Ids | undefined): Buffer {
  const message = ids === undefined ? [] : [encodeRequest('SESSION_IDS', { nodeid: 0, unique: 0n }, ids)]
  return Buffer.concat([Buffer.from(nonce), ...message])
}

async function connect(client: ssh2.Connection, offer: FileOffer): Promise<Stream> {
  if (offer.direct !== undefined) {
    try {
      return await connectDirectly(offer.direct, offer)
    } catch {
      // the forward is there as well
    }
  }
  return connectThroughSsh(client, offer.forward, offer.sessionIds)
}

const DIRECT_TIMEOUT_MS = 2000

async function connectDirectly(
  { at, nonce }: DirectFiles,
  { peerCid, sessionIds }: FileOffer,
): Promise<Stream> {
  const first = greeting(nonce, sessionIds)
  if (typeof at === 'string') return connectByUnix(at, first)
  if (peerCid === undefined) throw new Error('the client did not come over vsock')
  return connectByVsock(peerCid, at, first)
}

function connectByUnix(path: string, first: Buffer): Stream {
  const fd = connectUnix(path)
  try {
    writeSync(fd, first)
  } catch (error) {
    closeFd(fd)
    throw error
  }
  return holdSocket(fd)
}

async function connectByVsock(cid: number, port: number, first: Buffer): Promise<Stream> {
  const socket = connectVsock({
    cid,
    port,
    timeoutMs: DIRECT_TIMEOUT_MS,
    bufferBytes: FILE_BUFFER_BYTES,
  })
  try {
    await once(socket, 'connect')
    await new Promise<void>((resolve, reject) => {
      socket.write(first, error => (error ? reject(error) : resolve()))
    })
    return holdSocket(duplicateFd(socket.fd!))
  } finally {
    socket.destroy() // the duplicates go on
  }
}

/** Gives the kernel a descriptor of its own for a connected socket, and keeps this one to end it by. */
function holdSocket(fd: number): Stream {
  try {
    return new Stream(duplicateFd(fd), true, () => {
      shutdownFd(fd)
      closeFd(fd)
    })
  } catch (error) {
    closeFd(fd)
    throw error
  }
}

async function connectThroughSsh(
  client: ssh2.Connection,
  forward: FileOffer['forward'],
  ids: Ids | undefined,
): Promise<Stream> {
  const channel = await openWayBack(client, forward)
  guardChannel(channel)
  try {
    return joinKernel(channel, greeting(forward.nonce, ids))
  } catch (error) {
    channel.destroy()
    throw error
  }
}

const WAY_BACK_TIMEOUT_MS = 10_000

function openWayBack(
  client: ssh2.Connection,
  { host, port }: FileOffer['forward'],
): Promise<ssh2.ServerChannel> {
  return new Promise((resolve, reject) => {
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      const limit = `${WAY_BACK_TIMEOUT_MS / 1000} s`
      reject(
        new CpuError('ERR_CPU_FILES', `the client did not answer within ${limit} when asked for its files`),
      )
    }, WAY_BACK_TIMEOUT_MS)
    client.forwardOut(host, port, '127.0.0.1', port, (error, channel) => {
      clearTimeout(timer)
      if (isLate) channel?.destroy()
      else if (error === undefined) resolve(channel)
      else reject(new Error(`the client refuses the connection to its files: ${error.message}`))
    })
  })
}

function joinKernel(channel: ssh2.ServerChannel, first: Buffer): Stream {
  const [ourFd, kernelFd] = socketPair()
  try {
    const close = joinChannel(channel, ourFd)
    channel.write(first)
    return new Stream(kernelFd, false, close)
  } catch (error) {
    closeFd(ourFd)
    closeFd(kernelFd)
    throw error
  }
}

/** The connected stream: a descriptor that somebody takes over, once, or nobody; and its end, which stays here. */
class Stream {
  #fd: number | undefined
  #end: () => void

  constructor(
    fd: number,
    readonly isDirect: boolean,
    end: () => void,
  ) {
    this.#fd = fd
    this.#end = end
  }

  take(): number {
    const fd = this.#fd
    if (fd === undefined) throw new Error('the descriptor of the file connection was taken before')
    this.#fd = undefined
    return fd
  }

  close(): void {
    if (this.#fd !== undefined) closeFd(this.take())
    this.#end()
    this.#end = () => {}
  }
}

/** The kernel has the stream itself. */
class KernelEnd implements FileConnection {
  readonly protocol = '9p'
  readonly #stream: Stream

  constructor(stream: Stream) {
    this.#stream = stream
  }

  get isDirect(): boolean {
    return this.#stream.isDirect
  }

  toMount() {
    return { fileConnectionFd: this.#stream.take() }
  }

  join(device: number): void {
    closeFd(device)
  }

  close(): void {
    this.#stream.close()
  }
}

/** The kernel has its device, from which messages are passed on to the stream. */
class FuseEnd implements FileConnection {
  readonly protocol = 'fuse'
  readonly #stream: Stream
  #pump: FusePump | undefined
  #isClosed = false

  constructor(stream: Stream) {
    this.#stream = stream
  }

  get isDirect(): boolean {
    return this.#stream.isDirect
  }

  toMount() {
    return { fuseDevice: FUSE_DEVICE }
  }

  join(device: number): void {
    if (this.#isClosed) return closeFd(device)
    const stream = this.#stream.take()
    try {
      this.#pump = new FusePump(device, stream)
    } catch {
      // who waits for the files is told so by their kernel
      for (const fd of [device, stream]) closeFd(fd)
      this.close()
    }
  }

  close(): void {
    this.#isClosed = true
    this.#stream.close()
    this.#pump?.close()
  }
}
