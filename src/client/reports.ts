// What the client says about itself: on stderr, and with -dump all of it to a file.
import fs from 'node:fs'
import type { CPU_FLAGS } from '../cli/cpu-flags.js'
import type { ParsedFlags } from '../cli/flags.js'
import { UsageError } from '../errors.js'

type Values = ParsedFlags<typeof CPU_FLAGS>['values']
type Say = (line: string) => void

export interface Reports {
  /** What is done, for `-v`. */
  readonly log: Say
  /** The SSH protocol, for `-d`. */
  readonly ssh: Say | undefined
  /** Each message about files, for `-dbg9p`. */
  readonly files: Say | undefined
}

/** Throws UsageError for a dump that cannot be written. */
export function openReports({ v, d, dbg9p, dump }: Values): Reports {
  const file = dump === undefined ? undefined : openDump(dump)
  const both = (isWanted: boolean): Say | undefined => {
    if (file === undefined) return isWanted ? say : undefined
    return line => {
      file(line)
      if (isWanted) say(line)
    }
  }
  const ssh = both(d)
  return { log: both(v || d) ?? (() => {}), ssh: ssh && (line => ssh(`ssh: ${line}`)), files: both(dbg9p) }
}

/** One line on stderr. */
export function say(line: string): void {
  console.error(`cpu: ${line}`)
}

/** Appends lines to a file that only the user can read, each with the time: synchronously, so that none is lost. */
function openDump(path: string): Say {
  try {
    const fd = fs.openSync(path, 'a', 0o600)
    return line => fs.writeSync(fd, `${new Date().toISOString()} ${line}\n`)
  } catch (cause) {
    throw new UsageError(`cannot write to ${path} (-dump): ${(cause as Error).message}`)
  }
}
