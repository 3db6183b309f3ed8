// ssh2 writes every packet to its socket at once, and so does a pipe with every packet that arrives.
import type { Writable } from 'node:stream'

/** From now on, what is written to `stream` while one event is handled goes out together, in one system call. */
export function batchWrites(stream: Writable): void {
  let corked = false
  const uncork = () => {
    corked = false
    stream.uncork()
  }
  const write = stream.write as (...args: unknown[]) => boolean
  stream.write = (...args: unknown[]) => {
    if (!corked) {
      corked = true
      stream.cork()
      process.nextTick(uncork)
    }
    return write.apply(stream, args)
  }
}
