// What the guest's kernel says while a command runs, read from /dev/kmsg
// (Documentation/ABI/testing/dev-kmsg in Linux): `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;TEXT`, one record per read.

import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs'
import { seekToEnd } from '../native/system.js'
import type { KernelLogReport } from './guest-control.js'
import { KERNEL_LOG, logLevel } from './init-log.js'

/** PRINTKRB_RECORD_MAX and its prefix, kernel/printk/internal.h. */
const RECORD_BYTES = 8192
/** An oops is some 50 lines; the line to the launcher is slow. */
const MAX_LINES = 200

/** The kernel has dropped records that were not read. */
const OVERRUN = Symbol('overrun')

export class KernelLog {
  readonly #fd: number
  readonly #taintsBefore = taints()

  /** From now on. Throws SystemError. */
  constructor(path = KERNEL_LOG) {
    this.#fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    seekToEnd(this.#fd, path)
  }

  /** What was logged since the last report. */
  report(): KernelLogReport {
    const lines: string[] = []
    let omitted = 0
    let overrun = false
    for (;;) {
      const record = this.#next()
      if (record === undefined) break
      if (record === OVERRUN) {
        overrun = true
        continue
      }
      const line = seriousLine(record)
      if (line === undefined) continue
      if (lines.length < MAX_LINES) lines.push(line)
      else omitted++
    }
    return { lines, omitted, overrun, taints: { before: this.#taintsBefore, now: taints() } }
  }

  close(): void {
    closeSync(this.#fd)
  }

  #next(): string | typeof OVERRUN | undefined {
    const buffer = Buffer.alloc(RECORD_BYTES)
    try {
      const length = readSync(this.#fd, buffer)
      return length === 0 ? undefined : buffer.toString('utf8', 0, length)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EAGAIN') return undefined
      if (code === 'EPIPE') return OVERRUN
      throw error
    }
  }
}

/**
 * The text of a record, stamped as on the console, if the kernel itself says it (facility 0, which no program can
 * take) and it is a warning or worse.
 */
export function seriousLine(record: string): string | undefined {
  const match = /^(\d+),\d+,(\d+),[^;]*;([^\n]*)/.exec(record)
  if (match === null || Number(match[1]) > logLevel.warning) return undefined
  const seconds = (Number(match[2]) / 1e6).toFixed(6)
  return `[${seconds.padStart(12)}] ${match[3]}`
}

function taints(): number {
  return Number(readFileSync('/proc/sys/kernel/tainted', 'latin1'))
}
