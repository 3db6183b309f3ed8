// cpud's end of a machine's virtio-serial ports (serial-line.ts). Each is open all the time: what waits in one that is
// closed would be lost.

import type { Duplex } from 'node:stream'
import { closeFd, duplicateFd, FdStream } from '../native/fd-stream.js'
import { openSerialPort, whenHostConnects } from '../native/serial-port.js'
import { LineStream, MarkFinder, markOf, SERIAL_PORTS, serialPortName } from './serial-line.js'

/** The kernel has this long to find the ports. */
const APPEAR_LIMIT_MS = 10_000
const SHORTAGE_PAUSE_MS = 100

/** Listens on the ports whose names begin so. Returns what ends that. Throws CpuError ERR_CPU_LISTEN and system errors. */
export async function listenSerial(
  prefix: string,
  onConnection: (stream: Duplex) => void,
): Promise<() => void> {
  const ports: Port[] = []
  const close = () => {
    for (const port of ports) port.close()
  }
  try {
    for (let index = 0; index < SERIAL_PORTS; index++) {
      const fd = await openSerialPort(serialPortName(prefix, index), APPEAR_LIMIT_MS)
      ports.push(new Port(fd, onConnection))
    }
  } catch (error) {
    close()
    throw error
  }
  return close
}

class Port {
  readonly #fd: number
  readonly #onConnection: (stream: Duplex) => void
  #stopWaiting = () => {}
  #line: FdStream | undefined
  #connection: ServedStream | undefined
  #isClosed = false

  /** Closes `fd` in the end. */
  constructor(fd: number, onConnection: (stream: Duplex) => void) {
    this.#fd = fd
    this.#onConnection = onConnection
    this.#wait()
  }

  /** A connection that has begun goes on. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#stopWaiting()
    if (this.#connection === undefined) this.#line?.destroy()
    closeFd(this.#fd)
  }

  #wait(): void {
    this.#unlessShort(() => {
      this.#stopWaiting = whenHostConnects(this.#fd, () =>
        this.#unlessShort(() => this.#serve(new FdStream(duplicateFd(this.#fd)))),
      )
    })
  }

  /** Without descriptors, tries it again after a while. */
  #unlessShort(act: () => void): void {
    try {
      act()
    } catch {
      const timer = setTimeout(() => this.#wait(), SHORTAGE_PAUSE_MS)
      this.#stopWaiting = () => clearTimeout(timer)
    }
  }

  #serve(line: FdStream): void {
    const finder = new MarkFinder()
    const take = (chunk: Buffer) => {
      const mark = finder.find(chunk)
      if (mark === undefined) return this.#connection?.receive(chunk)
      this.#begin(line, mark.id)
      if (mark.end < chunk.length) take(chunk.subarray(mark.end))
    }
    this.#line = line
    line.on('data', take)
    line.on('error', () => line.destroy())
    // Hung up. What is still to be written would wait for the next connection.
    line.once('end', () => line.destroy())
    line.once('close', () => {
      this.#connection?.destroy()
      if (!this.#isClosed) this.#wait()
    })
  }

  #begin(line: FdStream, id: string): void {
    this.#connection?.supersede()
    line.write(markOf(id))
    const connection = new ServedStream(line, markOf(id))
    this.#connection = connection
    connection.once('close', () => {
      if (this.#connection !== connection) return
      this.#connection = undefined
      if (this.#isClosed) line.destroySoon()
    })
    this.#onConnection(connection)
  }
}

class ServedStream extends LineStream {
  readonly #port: FdStream
  #endMark: Buffer | undefined

  constructor(port: FdStream, endMark: Buffer) {
    super(port)
    this.#port = port
    this.#endMark = endMark
  }

  /** Another one has begun. */
  supersede(): void {
    this.#endMark = undefined
    this.destroy()
  }

  override _final(done: () => void): void {
    this.#tellEnd()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#tellEnd()
    this.#port.resume()
    done(error)
  }

  #tellEnd(): void {
    if (this.#endMark !== undefined && this.#port.writable) this.#port.write(this.#endMark)
    this.#endMark = undefined
  }
}
