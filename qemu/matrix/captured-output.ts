// What a command of a test says: kept to be searched and shown, and in full in a file where that is wanted.

import { closeSync, openSync, writeFileSync } from 'node:fs'
import { Writable } from 'node:stream'
import type { Output } from './expectation.js'

/** Of what is kept, the last: to be searched, and then to be shown. */
const LIMIT_BYTES = 4 * 1024 * 1024
const SHOWN_CHARACTERS = 64 * 1024

export class CapturedOutput extends Writable {
  readonly #fd: number | undefined
  #chunks: Buffer[] = []
  #bytes = 0
  #isCut = false

  constructor(file: string | undefined) {
    super()
    this.#fd = file === undefined ? undefined : openSync(file, 'w')
  }

  get output(): Output {
    const bytes = Buffer.concat(this.#chunks)
    return { text: bytes.subarray(-LIMIT_BYTES).toString(), isCut: this.#isCut || bytes.length > LIMIT_BYTES }
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    try {
      if (this.#fd !== undefined) writeFileSync(this.#fd, chunk)
    } catch (error) {
      return done(error as Error)
    }
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    while (this.#bytes - this.#chunks[0]!.length >= LIMIT_BYTES) {
      this.#bytes -= this.#chunks.shift()!.length
      this.#isCut = true
    }
    done()
  }

  [Symbol.dispose](): void {
    this.destroy()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    done(error)
  }
}

/** The end of it: a matrix may have thousands of tests. */
export function lastPart({ text, isCut }: Output): Output {
  return { text: text.slice(-SHOWN_CHARACTERS), isCut: isCut || text.length > SHOWN_CHARACTERS }
}
