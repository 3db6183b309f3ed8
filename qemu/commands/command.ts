// What every command of cpu-vm begins with: its flags, and its help.

import { type FlagTable, type FlagValues, type ParsedFlags, parseFlags } from '../../src/cli/flags.js'
import { renderHelp } from '../../src/cli/help.js'
import { UsageError } from '../../src/errors.js'
import { type PLAIN_FLAGS, RUN_FLAGS } from '../flags.js'
import { HELP } from '../help.js'
import { findProject, withProject } from '../project-file.js'
import type { MachineOptions } from '../settings.js'
import { print, say } from './output.js'

/** Resolves to the exit code. The signal is aborted, with an Interruption, when everything is to end. */
export type Command = (argv: string[], signal: AbortSignal) => Promise<number>

export type Flags<T extends FlagTable> = ParsedFlags<T> & { readonly argv: readonly string[] }

export function command<T extends FlagTable>(
  name: string,
  table: T & typeof PLAIN_FLAGS,
  run: (flags: Flags<T>, signal: AbortSignal) => Promise<number>,
): Command {
  return async (argv, signal) => {
    const flags = parseFlags<T>(table, argv)
    const { help, h } = flags.values as unknown as FlagValues<typeof PLAIN_FLAGS>
    const { text } = HELP[name]!
    return help || h ? print(renderHelp(table, text)) : run({ ...flags, argv }, signal)
  }
}

/** The same, of one whose flags may be in the project's file. */
export function projectCommand<T extends FlagTable>(
  name: string,
  table: T & typeof PLAIN_FLAGS,
  run: (flags: Flags<T>, signal: AbortSignal) => Promise<number>,
): Command {
  return command<T>(name, table, (flags, signal) => {
    const project = findProject(RUN_FLAGS)
    const { v } = flags.values as unknown as FlagValues<typeof PLAIN_FLAGS>
    if (project !== undefined && v) say(`defaults are from ${project.file}`)
    return run(withProject(table, flags, project), signal)
  })
}

export function refuseOperands({ operands }: { readonly operands: readonly string[] }): void {
  if (operands[0] !== undefined) throw new UsageError(`unexpected operand ${JSON.stringify(operands[0])}`)
}

/** The one machine that is named. */
export function machineOperand({ operands }: { readonly operands: readonly string[] }): string {
  const [name, unexpected] = operands
  if (name === undefined) throw new UsageError('no machine is named', 'cpu-vm list shows those that run')
  if (unexpected !== undefined) throw new UsageError(`unexpected operand ${JSON.stringify(unexpected)}`)
  return name
}

/** What a machine says while it starts. */
export function reporting(verbose: boolean): Pick<MachineOptions, 'onMessage' | 'onDetail' | 'onStage'> {
  return {
    onMessage: say,
    ...(verbose
      ? { onDetail: say, onStage: (stage: string, ms: number) => say(`${stage}: ${Math.round(ms)} ms`) }
      : {}),
  }
}
