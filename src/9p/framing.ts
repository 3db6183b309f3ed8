// Cuts a stream of chunks into messages by their length. A message that lies whole in a chunk is handed on as a
// view of it; only one that is spread over chunks is put together, in memory that is reserved once its length was
// found to be allowed.

import { headerSize } from './codec.js'

/** A length that no message can have; the stream can not be understood from there on. */
export class FramingError extends Error {
  override readonly name = 'FramingError'
}

/** Whether to go on with the next message that is already there. */
export type FrameHandler = (bytes: Buffer, view: DataView, start: number, end: number) => boolean

export class FrameSplitter {
  /** The largest message allowed. */
  maxSize: number
  readonly #handle: FrameHandler
  /** Bytes not looked at yet. */
  #chunk: Buffer = Buffer.alloc(0)
  #view = new DataView(this.#chunk.buffer)
  #at = 0
  readonly #size = Buffer.alloc(4)
  #sizeLength = 0
  /** The message being put together, and how much of it is there. */
  #partial: Buffer | undefined
  #partialLength = 0

  constructor(maxSize: number, handle: FrameHandler) {
    this.maxSize = maxSize
    this.#handle = handle
  }

  /** Whether the handler stopped before the last chunk was used up. */
  get isHeld(): boolean {
    return this.#at < this.#chunk.length
  }

  /** Takes the next chunk; while `isHeld`, call `resume` first. Throws FramingError. */
  push(chunk: Buffer): void {
    this.#chunk = chunk
    this.#view = viewOf(chunk)
    this.#at = 0
    this.resume()
  }

  /** Goes on with the chunk where the handler stopped. */
  resume(): void {
    while (this.#at < this.#chunk.length && this.#next()) {}
  }

  /** One message, or the rest of the chunk; whether to go on. */
  #next(): boolean {
    if (this.#partial !== undefined) return this.#fill(this.#partial)
    const chunk = this.#chunk
    const left = chunk.length - this.#at
    if (this.#sizeLength === 0 && left >= 4) {
      const size = this.#allowed(this.#view.getUint32(this.#at, true))
      if (size <= left) {
        const start = this.#at
        this.#at += size
        return this.#handle(chunk, this.#view, start, start + size)
      }
    }
    return this.#begin(chunk)
  }

  /** Collects the four bytes of a length, which may themselves be spread over chunks. */
  #begin(chunk: Buffer): boolean {
    const taken = chunk.copy(this.#size, this.#sizeLength, this.#at, this.#at + 4 - this.#sizeLength)
    this.#at += taken
    this.#sizeLength += taken
    if (this.#sizeLength < 4) return true
    this.#partial = Buffer.allocUnsafeSlow(this.#allowed(this.#size.readUInt32LE(0)))
    this.#size.copy(this.#partial)
    this.#partialLength = 4
    this.#sizeLength = 0
    return true
  }

  #fill(partial: Buffer): boolean {
    const taken = this.#chunk.copy(partial, this.#partialLength, this.#at)
    this.#at += taken
    this.#partialLength += taken
    if (this.#partialLength < partial.length) return true
    this.#partial = undefined
    return this.#handle(partial, viewOf(partial), 0, partial.length)
  }

  #allowed(size: number): number {
    if (size >= headerSize && size <= this.maxSize) return size
    throw new FramingError(`message of ${size} bytes, allowed are ${headerSize} to ${this.maxSize}`)
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}
