// The user's terminal: raw while a session with a terminal runs, and restored however we end.
import type { ReadStream, WriteStream } from 'node:tty'

export interface WindowSize {
  readonly rows: number
  readonly columns: number
}

/** The terminal of this process, in raw mode from construction until disposed. */
export class RawTerminal implements Disposable {
  readonly #input: ReadStream
  readonly #output: WriteStream
  readonly #restore = () => this[Symbol.dispose]()
  #onResize: (() => void) | undefined

  constructor(input: ReadStream, output: WriteStream) {
    this.#input = input
    this.#output = output
    input.setRawMode(true)
    process.once('exit', this.#restore)
  }

  get size(): WindowSize {
    return { rows: this.#output.rows, columns: this.#output.columns }
  }

  /** Calls `listener` after each change of the window's size. */
  onResize(listener: (size: WindowSize) => void): void {
    this.#onResize = () => listener(this.size)
    this.#output.on('resize', this.#onResize)
  }

  [Symbol.dispose](): void {
    process.off('exit', this.#restore)
    if (this.#onResize !== undefined) this.#output.off('resize', this.#onResize)
    if (!this.#input.destroyed) this.#input.setRawMode(false)
  }
}
