// Values of flags that a TOML file gives: a table's keys are the names of flags, its types theirs. From the flag tables
// alone, so that a new flag is known here too. For project-file.ts and matrix/matrix-file.ts.

import { dirname } from 'node:path'
import { type Flag, type FlagTable, parseFlagValue } from '../src/cli/flags.js'
import type { TomlTable } from './toml-file.js'

export interface FileValue {
  readonly value: unknown
  /** `FILE:LINE`, which takes a moment to find. */
  readonly place: () => string
}

/** The flags that a file may give. */
export function fileFlags(flags: FlagTable): FlagTable {
  const entries = Object.entries(flags).filter(([, flag]) => !flag.commandLineOnly && !flag.hidden)
  return Object.fromEntries(entries)
}

/** What the table has of these flags, by their names. Paths are as seen from the file. Throws UsageError. */
export function takeFlags(table: TomlTable, flags: FlagTable): Map<string, FileValue> {
  const taken = new Map<string, FileValue>()
  for (const [name, flag] of Object.entries(fileFlags(flags))) {
    const isThere = table.has(name)
    const value = takeFlag(table, name, flag)
    if (isThere) taken.set(name, { value, place: () => table.place(name) })
  }
  return taken
}

function takeFlag(table: TomlTable, name: string, flag: Flag): unknown {
  const parsed = (text: string) => {
    const value = table.locate(name, () => parseFlagValue(name, flag, text))
    return typeof value === 'string' && flag.located !== undefined
      ? flag.located(value, dirname(table.file))
      : value
  }
  switch (flag.kind) {
    case 'boolean':
      return table.boolean(name)
    case 'integer': {
      const number = table.integer(name)
      return number === undefined ? undefined : parsed(String(number))
    }
    case 'list':
      return table.strings(name)?.map(parsed)
    default: {
      const text = table.string(name, flag.kind === 'duration' ? 'write it as "10s" or "1m30s"' : undefined)
      return text === undefined ? undefined : parsed(text)
    }
  }
}
