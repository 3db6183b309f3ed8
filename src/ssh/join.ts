// An SSH channel joined to a local socket, on either side of the connection.
import type { Duplex } from 'node:stream'
import { FdStream } from '../native/fd-stream.js'
import { batchWrites } from './batch-writes.js'

/** A whole message of 9P waits here rather than hold up the channel. */
const BUFFER_BYTES = 1024 * 1024

/**
 * Passes on what comes from either, until one ends or fails, which ends the other; what was read by then is still
 * delivered. Takes over `fd`, a connected socket. The returned function ends both at once. Throws a SystemError if `fd`
 * cannot be used; it is the caller's then.
 */
export function joinChannel(channel: Duplex, fd: number): () => void {
  const socket = new FdStream(fd, { highWaterMark: BUFFER_BYTES, peer: 'file connection' })
  batchWrites(socket)
  const close = () => {
    socket.destroy()
    channel.destroy()
  }
  channel.on('error', close).once('close', close)
  socket.on('error', close)
  // ssh2's destroy() closes the channel in front of data that still waits for the other side's window.
  socket.once('close', () => {
    channel.end(close)
    channel.resume()
  })
  channel.pipe(socket).pipe(channel)
  return close
}
