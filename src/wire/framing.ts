// Cuts a stream of chunks into messages by their length. A message that lies whole in a chunk is handed on as a
// view of it; only one that is spread over chunks is put together, in memory that is reserved once its length was
// found to be allowed, and used again for the next.

/** A length that no message can have; the stream can not be understood from there on. */
export class FramingError extends Error {
  override readonly name = 'FramingError'
}

/**
 * Takes a message, whose bytes stay what they are until it returns. Whether to go on with the next message that is
 * already there.
 */
export type FrameHandler = (bytes: Buffer, view: DataView, start: number, end: number) => boolean

export class FrameSplitter {
  /** The largest message allowed. */
  maxSize: number
  readonly #handle: FrameHandler
  readonly #minSize: number
  /** Bytes not looked at yet. */
  #chunk: Buffer = Buffer.alloc(0)
  #view = new DataView(this.#chunk.buffer)
  #at = 0
  readonly #size = Buffer.alloc(4)
  #sizeLength = 0
  /** Where messages are put together; the size of the one under way, 0 for none, and how much of it is there. */
  #partial = Buffer.alloc(0)
  #partialView = viewOf(this.#partial)
  #partialSize = 0
  #partialLength = 0

  /** A message begins with its length in four bytes, which count too; it has `minSize` bytes at least. */
  constructor(maxSize: number, handle: FrameHandler, minSize = 4) {
    this.maxSize = maxSize
    this.#minSize = minSize
    this.#handle = handle
  }

  /** Whether the handler stopped before the last chunk was used up. */
  get isHeld(): boolean {
    return this.#at < this.#chunk.length
  }

  /** Takes the next chunk, and keeps none of its memory; while `isHeld`, call `resume` first. Throws FramingError. */
  push(chunk: Buffer): void {
    this.#take(chunk)
    this.resume()
    if (this.isHeld) this.#take(Buffer.from(chunk.subarray(this.#at)))
  }

  #take(chunk: Buffer): void {
    this.#chunk = chunk
    this.#view = viewOf(chunk)
    this.#at = 0
  }

  /** Goes on with the chunk where the handler stopped. */
  resume(): void {
    while (this.#at < this.#chunk.length && this.#next()) {}
  }

  /** One message, or the rest of the chunk; whether to go on. */
  #next(): boolean {
    if (this.#partialSize > 0) return this.#fill()
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
    const size = this.#allowed(this.#size.readUInt32LE(0))
    if (size > this.#partial.length) {
      this.#partial = Buffer.allocUnsafeSlow(size)
      this.#partialView = viewOf(this.#partial)
    }
    this.#size.copy(this.#partial)
    this.#partialSize = size
    this.#partialLength = 4
    this.#sizeLength = 0
    return true
  }

  #fill(): boolean {
    const size = this.#partialSize
    const end = this.#at + size - this.#partialLength
    const taken = this.#chunk.copy(this.#partial, this.#partialLength, this.#at, end)
    this.#at += taken
    this.#partialLength += taken
    if (this.#partialLength < size) return true
    this.#partialSize = 0
    return this.#handle(this.#partial, this.#partialView, 0, size)
  }

  #allowed(size: number): number {
    if (size >= this.#minSize && size <= this.maxSize) return size
    throw new FramingError(`message of ${size} bytes, allowed are ${this.#minSize} to ${this.maxSize}`)
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}
