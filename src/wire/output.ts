// The messages of one connection on their way out: written in place into large blocks, sent with one write for all
// that one turn of the event loop produced. A block is used again once the stream has called back for the last
// write of it.

import type { Duplex } from 'node:stream'
import { Writer } from './fields.js'

/** Room for small replies beside one of the largest size. */
const slack = 65536
const keptBlocks = 4

interface Block {
  readonly bytes: Buffer
  readonly writer: Writer
  /** From here to `end` is still to be sent. */
  start: number
  end: number
  writes: number
}

export class Output {
  readonly #stream: Duplex
  readonly #onDrain: () => void
  #blockSize = slack
  #block: Block
  #free: Block[] = []
  #full: Block[] = []
  #unsent = 0
  /** Memory of blocks that were left for another, with what they hold. */
  #left = 0
  #last = 0

  /** `onDrain` is called whenever the stream has taken something. */
  constructor(stream: Duplex, onDrain: () => void) {
    this.#stream = stream
    this.#onDrain = onDrain
    this.#block = this.#newBlock()
  }

  /** Bytes of memory that messages take until the stream has got rid of them. */
  get unsent(): number {
    return this.#unsent + this.#left
  }

  /** From now on a message may have up to this many bytes. */
  setMaxSize(size: number): void {
    this.#blockSize = size + slack
    this.#free = []
  }

  /** Makes room for a message of up to `size` bytes, which begins where the writer is. */
  reserve(size: number): Writer {
    let block = this.#block
    if (block.bytes.length - block.end < size) {
      if (block.end > 0) {
        this.#full.push(block)
        this.#left += block.bytes.length
      }
      block = this.#free.pop() ?? this.#newBlock()
      this.#block = block
    }
    block.writer.at = block.end
    return block.writer
  }

  /** The writer, back at the beginning of the room reserved last. */
  get reserved(): Writer {
    const { writer, end } = this.#block
    writer.at = end
    return writer
  }

  /** The message in the room reserved last is complete, with `size` bytes. */
  commit(size: number): void {
    const block = this.#block
    this.#last = block.end
    block.end += size
    this.#unsent += size
  }

  /** The message that was completed last. */
  lastMessage(): Buffer {
    return this.#block.bytes.subarray(this.#last, this.#block.end)
  }

  /** Sends what is complete. */
  flush(): void {
    const corked = this.#full.length > 0
    if (corked) this.#stream.cork()
    for (const block of this.#full) this.#send(block)
    this.#full = []
    this.#send(this.#block)
    if (corked) this.#stream.uncork()
  }

  /** Sends a whole message after all that is complete. */
  append(message: Buffer): void {
    this.flush()
    this.#unsent += message.length
    this.#stream.write(message, () => this.#sent(message.length))
  }

  #send(block: Block): void {
    const { start, end } = block
    if (start === end) return
    block.start = end
    block.writes++
    this.#stream.write(block.bytes.subarray(start, end), () => {
      block.writes--
      this.#recycle(block)
      this.#sent(end - start)
    })
  }

  #recycle(block: Block): void {
    if (block.writes > 0 || block.start !== block.end) return
    block.start = 0
    block.end = 0
    if (block === this.#block) return
    this.#left -= block.bytes.length
    if (block.bytes.length === this.#blockSize && this.#free.length < keptBlocks) this.#free.push(block)
  }

  #sent(size: number): void {
    this.#unsent -= size
    this.#onDrain()
  }

  #newBlock(): Block {
    const bytes = Buffer.allocUnsafeSlow(this.#blockSize)
    return { bytes, writer: new Writer(bytes), start: 0, end: 0, writes: 0 }
  }
}
