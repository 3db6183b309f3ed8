// What a guest's kernel logs, for several who read at a time: the guest tells each line once, and each of them gets it.

import type { KernelLogReport } from '../src/cpud/guest-control.js'

export type AskKernelLog = (limitMs: number) => Promise<KernelLogReport | undefined>

export interface KernelLogReader {
  /** What was logged since this reader was opened, or read last; undefined where the guest does not answer in time. */
  readonly read: AskKernelLog
  close(): void
}

/** Kept for a reader that is slow to read. */
const MAX_LINES = 1000

export class KernelLogReaders {
  readonly #ask: AskKernelLog
  readonly #unread = new Map<KernelLogReader, KernelLogReport | undefined>()
  #asked: Promise<unknown> = Promise.resolve()

  /** `ask` gets what was logged since it was called last. */
  constructor(ask: AskKernelLog) {
    this.#ask = ask
  }

  open(): KernelLogReader {
    const reader: KernelLogReader = {
      read: limitMs => this.#read(reader, limitMs),
      close: () => void this.#unread.delete(reader),
    }
    this.#unread.set(reader, undefined)
    return reader
  }

  async #read(reader: KernelLogReader, limitMs: number): Promise<KernelLogReport | undefined> {
    const answer = this.#asked.then(() => this.#ask(limitMs))
    this.#asked = answer
    const report = await answer
    if (report === undefined) return undefined
    for (const [other, unread] of this.#unread)
      this.#unread.set(other, unread === undefined ? report : joined(unread, report))
    const all = this.#unread.get(reader)
    if (this.#unread.has(reader)) this.#unread.set(reader, undefined)
    return all
  }
}

function joined(earlier: KernelLogReport, later: KernelLogReport): KernelLogReport {
  const lines = [...earlier.lines, ...later.lines]
  return {
    lines: lines.slice(0, MAX_LINES),
    omitted: earlier.omitted + later.omitted + Math.max(0, lines.length - MAX_LINES),
    overrun: earlier.overrun || later.overrun,
    taints: later.taints,
  }
}
