// The client's end of a machine's virtio-serial ports (serial-line.ts).

import { closeSync, constants, openSync } from 'node:fs'
import net from 'node:net'
import { binding } from '../native/binding.js'
import {
  createLineId,
  LineStream,
  MarkFinder,
  markOf,
  SERIAL_PORTS,
  serialPortSocket,
} from './serial-line.js'

/** fcntl.h */
const F_WRLCK = 1

/** Connects by a port that nobody else has; `connect` follows, or an error. Throws a system error. */
export function connectSerial(directory: string): LineStream {
  const lock = openSync(`${directory}/lock`, constants.O_RDWR)
  const port = takePort(lock)
  if (port !== undefined) return new SerialSocket(serialPortSocket(directory, port), lock)
  closeSync(lock)
  const message = `all ${SERIAL_PORTS} of its ports are in use`
  throw Object.assign(new Error(message), { code: 'EBUSY' })
}

/** QEMU makes a second connection wait without a word. A lock on byte N is port N, until its holder closes or dies. */
function takePort(lock: number): number | undefined {
  const ports = Array.from({ length: SERIAL_PORTS }, (_, index) => index)
  return ports.find(index => binding.fsLock(lock, F_WRLCK, BigInt(index), 1n) === 0)
}

class SerialSocket extends LineStream {
  readonly #socket: net.Socket
  readonly #lock: number
  readonly #id = createLineId()
  readonly #finder = new MarkFinder()
  #isConnected = false

  /** Closes `lock` in the end. */
  constructor(path: string, lock: number) {
    const socket = net.connect(path)
    super(socket)
    this.#socket = socket
    this.#lock = lock
    socket.write(markOf(this.#id))
    socket.on('data', chunk => this.#take(chunk))
    socket.on('error', error => this.destroy(error))
    socket.once('end', () => this.#end())
    socket.once('close', () => this.destroy())
  }

  #take(chunk: Buffer): void {
    const mark = this.#finder.find(chunk)
    if (this.#isConnected && !this.readableEnded)
      this.receive(mark === undefined ? chunk : chunk.subarray(0, mark.start))
    if (mark === undefined) return
    if (mark.id === this.#id) {
      if (this.#isConnected) return this.#end()
      this.#isConnected = true
      this.emit('connect')
    }
    if (mark.end < chunk.length) this.#take(chunk.subarray(mark.end))
  }

  #end(): void {
    if (!this.#isConnected) this.destroy(new Error('the machine hung up'))
    else if (!this.destroyed) this.push(null)
  }

  override _final(done: () => void): void {
    this.#socket.end(done)
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const release = () => {
      closeSync(this.#lock)
      done(error)
    }
    if (this.#socket.closed) release()
    else this.#socket.once('close', release).destroy()
  }
}
