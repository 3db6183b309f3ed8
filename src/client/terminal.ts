// The user's terminal: raw while a session with a terminal runs, and restored however we end.

import type { ReadStream, WriteStream } from 'node:tty'
import { saveTerminal } from '../native/pty.js'
import { makeRaw } from '../native/system.js'

export interface WindowSize {
  readonly rows: number
  readonly columns: number
}

/** The terminal of this process, in raw mode from construction until disposed. */
export class RawTerminal implements Disposable {
  readonly #input: ReadStream
  readonly #output: WriteStream
  #unsetRaw: () => void
  readonly #restore = () => this[Symbol.dispose]()
  #onResize: (() => void) | undefined

  constructor(input: ReadStream, output: WriteStream) {
    this.#input = input
    this.#output = output
    this.#unsetRaw = setRaw(input)
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

  /** Stops this process as Ctrl-Z does; returns when it goes on. The window may have changed meanwhile. */
  suspend(): void {
    this.#unsetRaw()
    process.kill(process.pid, 'SIGTSTP')
    this.#unsetRaw = setRaw(this.#input)
    this.#onResize?.()
  }

  [Symbol.dispose](): void {
    process.off('exit', this.#restore)
    if (this.#onResize !== undefined) this.#output.off('resize', this.#onResize)
    this.#unsetRaw()
  }
}

/**
 * Raw as cfmakeraw(3) has it: Node's own raw mode still puts a carriage return before each line feed that the
 * other side's terminal sends, which full-screen programs do not expect.
 */
function setRaw(input: ReadStream): () => void {
  if (process.platform !== 'linux') {
    input.setRawMode(true)
    return () => input.setRawMode(false)
  }
  const { fd } = input as ReadStream & { fd: number }
  const restore = saveTerminal(fd)
  makeRaw(fd, 'terminal')
  return () => {
    try {
      restore()
    } catch {
      // hung up: there is nothing left to restore
    }
  }
}
