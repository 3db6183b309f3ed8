// A file that somebody writes to, from its beginning to when it is over.

import { open } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

const POLL_MS = 50
const CHUNK_BYTES = 64 * 1024

/** What was written before `isOver` came true is told. Throws the signal's reason on abort. */
export async function* followFile(
  path: string,
  isOver: () => boolean,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const file = await open(path)
  try {
    for (;;) {
      const over = isOver()
      for (;;) {
        const { bytesRead, buffer } = await file.read({ buffer: Buffer.alloc(CHUNK_BYTES) })
        if (bytesRead === 0) break
        yield buffer.subarray(0, bytesRead)
      }
      if (over) return
      await sleep(POLL_MS)
      signal.throwIfAborted()
    }
  } finally {
    await file.close()
  }
}
