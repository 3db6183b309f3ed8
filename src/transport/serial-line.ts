// virtio-serial ports as a transport, for machines that have neither vsock nor a network. A port is one line of bytes, on
// which connections follow each other: QEMU's socket takes one at a time, and the guest may see neither its end nor the
// next one's beginning, nor QEMU that the guest has closed it. So both sides say where a connection begins and ends:
//
//   client -> cpud   MARK id    a connection begins; what came before belonged to another one, which is over
//   cpud -> client   MARK id    it has begun, and the second time: it is over. What came before was not for it.
//
// In between are the bytes of the connection as they are: they are SSH's, in which the mark does not happen.

import { randomBytes } from 'node:crypto'
import { Duplex } from 'node:stream'

/** Ports of a machine: so many connections at a time. */
export const SERIAL_PORTS = 8

/** Name of a port in the guest. */
export function serialPortName(prefix: string, index: number): string {
  return `${prefix}.${index}`
}

/** Socket of a port on the host. */
export function serialPortSocket(directory: string, index: number): string {
  return `${directory}/${index}.sock`
}

/** Nothing of it is a prefix of a later part, so that one that broke off hides no other. */
const MARK = '\0cpu-harness line '
const MARK_WITH_ID = /\0cpu-harness line ([0-9a-f]{32})/
const MARK_BYTES = MARK.length + 32

/** For another connection than all others. */
export function createLineId(): string {
  return randomBytes(16).toString('hex')
}

export function markOf(id: string): Buffer {
  return Buffer.from(MARK + id)
}

export interface FoundMark {
  readonly id: string
  /** Where in the chunk it begins, 0 if that was before, and where it ends. */
  readonly start: number
  readonly end: number
}

/** Finds marks in a stream, whose chunks may cut them anywhere. */
export class MarkFinder {
  /** What may be the beginning of one. */
  #recent = ''

  /** The first mark that ends in this chunk. What comes behind it is to be given in another call. */
  find(chunk: Buffer): FoundMark | undefined {
    const before = this.#recent.length
    const seen = this.#recent + chunk.toString('latin1')
    const match = MARK_WITH_ID.exec(seen)
    this.#recent = match === null ? seen.slice(1 - MARK_BYTES) : ''
    if (match === null) return undefined
    const start = match.index - before
    return { id: match[1]!, start: Math.max(0, start), end: start + MARK_BYTES }
  }
}

/** One connection on a line. Whoever reads the line hands over what belongs to it. */
export class LineStream extends Duplex {
  readonly #line: Duplex

  constructor(line: Duplex) {
    super({ allowHalfOpen: false })
    this.#line = line
  }

  receive(chunk: Buffer): void {
    if (!this.destroyed && !this.push(chunk)) this.#line.pause()
  }

  override _read(): void {
    this.#line.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#line.write(chunk, done)
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#line.write(Buffer.concat(chunks.map(({ chunk }) => chunk)), done)
  }
}
