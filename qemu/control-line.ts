// Our end of the guest's control line: JSON objects, one per line. The guest tells events, we make requests.
// Whatever else is on it (the terminal's echo, firmware) is no object with an event and is passed over.

import { once } from 'node:events'
import type { Socket } from 'node:net'
import { createInterface } from 'node:readline'
import type { GuestEvent, GuestIdentity, GuestRequest, KernelLogReport } from '../src/cpud/guest-control.js'
import { connectSocket } from './connect-socket.js'

/** Connects once the socket is there; gives up, with the last error, after `limitMs` or on abort. */
export async function openControlLine(
  path: string,
  limitMs: number,
  signal?: AbortSignal,
): Promise<ControlLine> {
  return new ControlLine(await connectSocket(path, limitMs, signal))
}

export class ControlLine {
  readonly #socket: Socket

  constructor(socket: Socket) {
    this.#socket = socket
    // A line that breaks ends the events; why it did is told by QEMU's end.
    socket.on('error', () => undefined)
  }

  /** What the guest tells, until the line is closed or QEMU ends. */
  async *events(): AsyncGenerator<GuestEvent> {
    for await (const line of createInterface({ input: this.#socket, crlfDelay: Number.POSITIVE_INFINITY })) {
      const event = parseEvent(line)
      if (event !== undefined) yield event
    }
  }

  /** Asks the guest to end everything in it and to switch the machine off. */
  requestPowerOff(): void {
    this.#send({ request: 'poweroff' })
  }

  /** What the guest's kernel logged; undefined when the guest has not told before the abort, or the line ends. */
  async kernelLog(signal: AbortSignal): Promise<KernelLogReport | undefined> {
    const report = async () => {
      for await (const event of this.events()) if (event.event === 'kernel-log') return event
      return undefined
    }
    signal.throwIfAborted()
    this.#send({ request: 'kernel-log' })
    return Promise.race([report(), once(signal, 'abort').then(() => undefined)])
  }

  /** Tells the guest who it is. */
  introduce(identity: GuestIdentity): void {
    this.#send({ request: 'identity', ...identity })
  }

  /** Makes the guest nobody again. */
  requestForget(): void {
    this.#send({ request: 'forget' })
  }

  /** Tells the guest the time: its own clock was read at boot, to the second, or when a snapshot was made. */
  tellTime(): void {
    this.#send({ request: 'clock', unixMs: performance.timeOrigin + performance.now() })
  }

  #send(request: GuestRequest): void {
    this.#socket.write(`${JSON.stringify(request)}\n`)
  }

  close(): void {
    this.#socket.destroy()
  }
}

/** The event in a line, if there is one. */
export function parseEvent(line: string): GuestEvent | undefined {
  try {
    const value = JSON.parse(line.trim())
    return typeof value?.event === 'string' ? value : undefined
  } catch {
    return undefined
  }
}
