// The way back to the client's files, as a descriptor that the kernel mounts: a vsock connection of its own where the
// client offers one, so that no process here stands between kernel and client; else a channel through the forward.
import { once } from 'node:events'
import type ssh2 from 'ssh2'
import { closeFd, duplicateFd, FdStream, shutdownFd, socketPair } from '../native/fd-stream.js'
import { connectVsock } from '../native/vsock.js'

/** Until closed, what the kernel writes to its descriptor goes to the client's file server, and back. */
export interface FileConnection {
  /** For mount(2); owned by the caller from then on. */
  takeKernelFd(): number
  /** Ends it, so that nothing waits for the client; file operations still under way fail with EIO. */
  close(): void
}

/** Where the client waits. */
export interface FileOffer {
  readonly forward: { readonly host: string; readonly port: number; readonly nonce: string }
  readonly direct: { readonly cid: number; readonly port: number; readonly nonce: string } | undefined
}

/** Connects and brings the nonce. Rejects when the client refuses. */
export async function connectFiles(client: ssh2.Connection, offer: FileOffer): Promise<FileConnection> {
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
    const ours = duplicateFd(socket.fd!)
    return new KernelEnd(duplicateFd(ours), () => {
      shutdownFd(ours)
      closeFd(ours)
    })
  } finally {
    socket.destroy() // the duplicates go on
  }
}

function connectThroughSsh(client: ssh2.Connection, forward: FileOffer['forward']): Promise<FileConnection> {
  return new Promise((resolve, reject) => {
    client.forwardOut(forward.host, forward.port, '127.0.0.1', forward.port, (error, channel) => {
      if (error !== undefined)
        return reject(new Error(`the client refuses the connection to its files: ${error.message}`))
      channel.write(forward.nonce)
      const [ourFd, kernelFd] = socketPair()
      const kernel = new FdStream(ourFd)
      const close = () => {
        kernel.destroy()
        channel.destroy()
      }
      channel.on('error', close).once('close', close)
      kernel.on('error', close).once('close', close)
      channel.pipe(kernel).pipe(channel)
      resolve(new KernelEnd(kernelFd, close))
    })
  })
}

class KernelEnd implements FileConnection {
  #fd: number | undefined
  #end: () => void

  constructor(fd: number, end: () => void) {
    this.#fd = fd
    this.#end = end
  }

  takeKernelFd(): number {
    const fd = this.#fd
    if (fd === undefined) throw new Error('the descriptor of the file connection was taken before')
    this.#fd = undefined
    return fd
  }

  close(): void {
    if (this.#fd !== undefined) closeFd(this.takeKernelFd())
    this.#end()
    this.#end = () => {}
  }
}
