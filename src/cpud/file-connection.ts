// The way back to the client's files: a channel through the forward, led to a descriptor that the kernel mounts.
import type ssh2 from 'ssh2'
import { FdStream, socketPair } from '../native/fd-stream.js'

/** Until closed, what the kernel writes to `kernelFd` goes to the client's file server, and back. */
export interface FileConnection {
  /** For mount(2); owned by whoever spawns the program. */
  readonly kernelFd: number
  /** Ends it; file operations still under way fail with EIO. */
  close(): void
}

/** Opens the channel and writes the nonce. Rejects when the client refuses it. */
export function connectFiles(
  client: ssh2.Connection,
  forward: { readonly host: string; readonly port: number; readonly nonce: string },
): Promise<FileConnection> {
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
      resolve({ kernelFd, close })
    })
  })
}
