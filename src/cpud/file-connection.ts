// The way back to the client's files, as a descriptor that the kernel mounts. The stream is a vsock connection of its
// own where the client offers one, so that no process here stands between kernel and client; else a channel through
// the forward. By 9P the kernel gets the stream itself, by FUSE a device that is joined to it.
import { once } from 'node:events'
import type ssh2 from 'ssh2'
import { CpuError } from '../errors.js'
import type { FileProtocol } from '../namespace/file-protocol.js'
import { closeFd, duplicateFd, shutdownFd, socketPair } from '../native/fd-stream.js'
import { FusePump, openFuse } from '../native/fuse.js'
import { connectVsock } from '../native/vsock.js'
import { joinChannel } from '../ssh/join.js'

/** Until closed, what the kernel writes to its descriptor goes to the client's file server, and back. */
export interface FileConnection {
  readonly protocol: FileProtocol
  /** Whether it goes past SSH, so that reading more than was asked for costs little. */
  readonly isDirect: boolean
  /** For mount(2); owned by the caller from then on. */
  takeKernelFd(): number
  /** Ends it, so that nothing waits for the client; file operations still under way fail with EIO. */
  close(): void
}

/** Where the client waits. */
export interface FileOffer {
  /** By which the client serves its files, best first. */
  readonly protocols: readonly FileProtocol[]
  readonly forward: { readonly host: string; readonly port: number; readonly nonce: string }
  readonly direct: { readonly cid: number; readonly port: number; readonly nonce: string } | undefined
}

/** Connects and brings the nonce. Rejects when the client refuses, or this machine has none of its protocols. */
export async function connectFiles(client: ssh2.Connection, offer: FileOffer): Promise<FileConnection> {
  const fuse = offer.protocols.includes('fuse') ? openFuseIfThere() : undefined
  if (fuse === undefined && !offer.protocols.includes('9p')) throw noFuse()
  try {
    const link = await connect(client, offer)
    return fuse === undefined ? link : new FuseEnd(fuse, link)
  } catch (error) {
    if (fuse !== undefined) closeFd(fuse)
    throw error
  }
}

function openFuseIfThere(): number | undefined {
  try {
    return openFuse()
  } catch {
    return undefined
  }
}

function noFuse(): CpuError {
  return new CpuError('ERR_CPU_FILES', 'this machine has no FUSE (/dev/fuse)', {
    remedy: 'load the module fuse there, or use -files 9p',
  })
}

async function connect(client: ssh2.Connection, offer: FileOffer): Promise<FileConnection> {
  if (offer.direct !== undefined) {
    try {
      return await connectDirectly(offer.direct)
    } catch {
      // the forward is there as well
    }
  }
  return connectThroughSsh(client, offer.forward)
}

const DIRECT_TIMEOUT_MS = 2000

async function connectDirectly(direct: NonNullable<FileOffer['direct']>): Promise<FileConnection> {
  const socket = connectVsock({ cid: direct.cid, port: direct.port, timeoutMs: DIRECT_TIMEOUT_MS })
  try {
    await once(socket, 'connect')
    await new Promise<void>((resolve, reject) => {
      socket.write(direct.nonce, error => (error ? reject(error) : resolve()))
    })
    return holdSocket(duplicateFd(socket.fd!))
  } finally {
    socket.destroy() // the duplicates go on
  }
}

/** Gives the kernel a descriptor of its own for a connected socket, and keeps this one to end it by. */
function holdSocket(fd: number): FileConnection {
  try {
    return new KernelEnd(duplicateFd(fd), true, () => {
      shutdownFd(fd)
      closeFd(fd)
    })
  } catch (error) {
    closeFd(fd)
    throw error
  }
}

function connectThroughSsh(client: ssh2.Connection, forward: FileOffer['forward']): Promise<FileConnection> {
  return new Promise((resolve, reject) => {
    client.forwardOut(forward.host, forward.port, '127.0.0.1', forward.port, (error, channel) => {
      if (error !== undefined)
        return reject(new Error(`the client refuses the connection to its files: ${error.message}`))
      try {
        resolve(joinKernel(channel, forward.nonce))
      } catch (failure) {
        channel.destroy()
        reject(failure)
      }
    })
  })
}

function joinKernel(channel: ssh2.ServerChannel, nonce: string): FileConnection {
  const [ourFd, kernelFd] = socketPair()
  try {
    const close = joinChannel(channel, ourFd)
    channel.write(nonce)
    return new KernelEnd(kernelFd, false, close)
  } catch (error) {
    closeFd(ourFd)
    closeFd(kernelFd)
    throw error
  }
}

/** A descriptor that somebody takes over, once, or nobody. */
class SpareFd {
  #fd: number | undefined

  constructor(fd: number) {
    this.#fd = fd
  }

  take(): number {
    const fd = this.#fd
    if (fd === undefined) throw new Error('the descriptor of the file connection was taken before')
    this.#fd = undefined
    return fd
  }

  close(): void {
    if (this.#fd !== undefined) closeFd(this.take())
  }
}

/** The kernel has the stream itself. */
class KernelEnd implements FileConnection {
  readonly protocol = '9p'
  readonly #fd: SpareFd
  #end: () => void

  constructor(
    fd: number,
    readonly isDirect: boolean,
    end: () => void,
  ) {
    this.#fd = new SpareFd(fd)
    this.#end = end
  }

  takeKernelFd(): number {
    return this.#fd.take()
  }

  close(): void {
    this.#fd.close()
    this.#end()
    this.#end = () => {}
  }
}

/** The kernel has its device, from which messages are passed on to the stream. */
class FuseEnd implements FileConnection {
  readonly protocol = 'fuse'
  readonly #link: FileConnection
  readonly #pump: FusePump
  readonly #fd: SpareFd

  /** Takes over the device, unless it throws. */
  constructor(device: number, link: FileConnection) {
    this.#link = link
    this.#fd = new SpareFd(duplicateFd(device))
    const stream = link.takeKernelFd()
    try {
      this.#pump = new FusePump(device, stream)
    } catch (error) {
      closeFd(stream)
      this.#fd.close()
      link.close()
      throw error
    }
  }

  get isDirect(): boolean {
    return this.#link.isDirect
  }

  takeKernelFd(): number {
    return this.#fd.take()
  }

  close(): void {
    this.#fd.close()
    this.#link.close()
    this.#pump.close()
  }
}
