// How a server waits for the next request: awake for a moment, then asleep. To be woken takes longer than to answer
// most requests, and waking costs the other side as much. But where the next one does not come that soon, or somebody
// else has use for the processor, staying awake is a waste, and soon given up.

import { availableParallelism } from 'node:os'
import { binding } from '../native/binding.js'
import type { NativePolling } from '../native/polling-binding.js'

/** Some times what it takes to be woken. */
const pollMicroseconds = 100
/** Waits in vain are followed by 1, 3, 7, ... that are not awake, up to 63. */
const maxMisses = 6

export class BusyWait {
  readonly #polling: NativePolling | undefined
  #isAwake = false
  #misses = 0
  #asleep = 0

  /** Without `polling` it always sleeps, as is right with one processor. */
  constructor(polling = openPolling()) {
    this.#polling = polling
  }

  /** Everything is answered. */
  begin(): void {
    if (this.#polling === undefined || this.#asleep-- > 0) return
    this.#isAwake = true
    this.#polling.start(pollMicroseconds)
  }

  /** Something has come. */
  end(): void {
    if (this.#polling === undefined || !this.#isAwake) return
    this.#isAwake = false
    this.#misses = this.#polling.stop() ? 0 : Math.min(this.#misses + 1, maxMisses)
    this.#asleep = 2 ** this.#misses - 1
  }

  close(): void {
    this.#polling?.close()
  }
}

function openPolling(): NativePolling | undefined {
  return process.platform === 'linux' && availableParallelism() > 1 ? new binding.Polling() : undefined
}
