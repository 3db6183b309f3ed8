// Long work in small pieces, one after the other, with time for all else between them.

const pieceMs = 3
const pieceSteps = 64
const pauseMs = 5

export class Chores {
  readonly #mayGoOn: () => boolean
  readonly #chores: Iterator<void>[] = []
  #timer: NodeJS.Timeout | undefined

  /** Nothing is done while `mayGoOn` says no. */
  constructor(mayGoOn: () => boolean) {
    this.#mayGoOn = mayGoOn
  }

  /** Each step of the iterator is a small amount of work. */
  add(chore: Iterator<void>): void {
    this.#chores.push(chore)
    this.#goOnLater()
  }

  close(): void {
    this.#chores.length = 0
    clearTimeout(this.#timer)
  }

  #goOnLater(): void {
    this.#timer ??= setTimeout(() => this.#goOn(), pauseMs).unref()
  }

  #goOn(): void {
    this.#timer = undefined
    const end = performance.now() + pieceMs
    for (let step = 1; this.#mayGoOn(); step++) {
      const [chore] = this.#chores
      if (chore === undefined) return
      if (chore.next().done) this.#chores.shift()
      if (step % pieceSteps === 0 && performance.now() > end) break
    }
    this.#goOnLater()
  }
}
