// The `cpu-vm run` that repeats one test in a machine of its own, for a shell.

import { formatDuration } from '../../src/cli/duration.js'
import { type Flag, parseFlags } from '../../src/cli/flags.js'
import { FSTAB_VARIABLE } from '../../src/ssh/exec-request.js'
import { quoteLine, quoteWord } from '../../src/ssh/quote.js'
import { fileFlags } from '../file-values.js'
import { RUN_FLAGS } from '../flags.js'

/** `values` are of flags of `cpu-vm run`; the command runs in this process's directory. */
export function repeatLine(
  values: Readonly<Record<string, unknown>>,
  command: readonly string[],
  environment: NodeJS.ProcessEnv = process.env,
): string {
  const defaults: Readonly<Record<string, unknown>> = parseFlags(RUN_FLAGS, []).values
  const flags = Object.entries(fileFlags(RUN_FLAGS)).flatMap(([name, flag]) => {
    const value = values[name]
    return value === undefined || value === defaults[name] ? [] : flagWords(name, flag, value)
  })
  const fstab = environment[FSTAB_VARIABLE]
  const variables = fstab ? `${FSTAB_VARIABLE}=${quoteWord(fstab)} ` : ''
  const line = quoteLine(['cpu-vm', 'run', ...flags, '--', ...command])
  return `cd ${quoteWord(process.cwd())} && ${variables}${line}`
}

function flagWords(name: string, flag: Flag, value: unknown): string[] {
  if (flag.kind === 'list') return (value as readonly string[]).map(item => `-${name}=${item}`)
  if (flag.kind === 'boolean') return [value === true ? `-${name}` : `-${name}=false`]
  return [`-${name}=${flag.kind === 'duration' ? formatDuration(value as number) : value}`]
}
