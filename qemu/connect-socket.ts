// Connects to a unix socket of QEMU, which makes its sockets one after the other while it starts.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const RETRY_MS = 5

/** Once the socket is there; gives up, with the last error, after `limitMs` or on abort. */
export async function connectSocket(path: string, limitMs: number, signal?: AbortSignal): Promise<Socket> {
  const end = performance.now() + limitMs
  for (;;) {
    signal?.throwIfAborted()
    const socket = connect(path)
    try {
      await once(socket, 'connect')
      return socket
    } catch (error) {
      socket.destroy()
      if (performance.now() >= end) throw error
    }
    await sleep(RETRY_MS)
  }
}
