// Files that a tree's users keep open only to save opening them again: when descriptors run out, they are asked for them.
// Used by the trees, which know when that is.

/** Closes some of them; whether there were any. */
export type GiveUp = () => boolean

export class IdleFiles {
  readonly #keepers = new Set<GiveUp>()

  /** Returns what ends it. */
  add(giveUp: GiveUp): () => void {
    this.#keepers.add(giveUp)
    return () => this.#keepers.delete(giveUp)
  }

  /** Whether a descriptor was closed. */
  giveUp(): boolean {
    return [...this.#keepers].some(giveUp => giveUp())
  }
}
