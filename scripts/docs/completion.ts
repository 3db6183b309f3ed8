// What the three shells complete alike: which values a flag has, and commands that list hosts and machines.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { machineFiles } from '../../qemu/machine-directory.js'
import type { Flag, FlagTable } from '../../src/cli/flags.js'
import { shownFlags } from '../../src/cli/help.js'
import { runtimeDirectory } from '../../src/runtime-directory.js'
import { packageRoot } from '../../src/version.js'
import type { Command, Manual } from './manual.js'

export interface FlagCompletion {
  readonly name: string
  /** For shells that show it. */
  readonly text: string
  /** False for those that are on or off. */
  readonly hasValue: boolean
  /** On unless it is switched off by `=false`. */
  readonly isOn: boolean
  readonly isRepeatable: boolean
  readonly choices: readonly string[]
  readonly paths: 'files' | 'directories' | undefined
}

export function flagCompletions(table: FlagTable): FlagCompletion[] {
  return shownFlags(table).map(([name, flag]) => ({
    name,
    text: summary(flag),
    hasValue: flag.kind !== 'boolean',
    isOn: flag.kind === 'boolean' && flag.default === true,
    isRepeatable: flag.kind === 'list',
    choices: 'choices' in flag ? (flag.choices ?? []) : [],
    paths: pathsOf(flag.placeholder),
  }))
}

/** The first half sentence, without what is in brackets behind it. */
function summary({ help }: Flag): string {
  return (help.split(/[.;] /)[0] ?? '').replace(/ \([^)]*\)?$/, '')
}

function pathsOf(placeholder: string | undefined): FlagCompletion['paths'] {
  if (placeholder === 'DIR') return 'directories'
  return placeholder === 'FILE' || placeholder === 'PATH' ? 'files' : undefined
}

/** What completes an operand: hosts that are known, machines that run, files, or a command line. */
export type Operand = 'host' | 'machine' | 'file' | 'command'

const OPERANDS: Readonly<Record<string, Operand>> = {
  host: 'host',
  NAME: 'machine',
  FILE: 'file',
  command: 'command',
}

/** As the usage names them, in order; the last one stands for all that follow. */
export function operandsOf({ words, help }: Command): Operand[] {
  const named = help.usage.slice(words.length).match(/\w+/g) ?? []
  return named.flatMap(word => OPERANDS[word] ?? [])
}

/** What is listed by a script for sh(1), one name a line; a script has no single quotes. */
export type Listed = 'host' | 'machine'

export function listedOperands({ commands }: Manual): Listed[] {
  const operands = commands.flatMap(operandsOf)
  return (['host', 'machine'] as const).filter(listed => operands.includes(listed))
}

export function listScript(what: Listed): string {
  return shellText(`list-${what}.sh`, {
    // As in runtimeDirectory(), but for whoever runs the script.
    RUNTIME_DIRECTORY: runtimeDirectory({ XDG_RUNTIME_DIR: '/RUN' }).replace('/RUN', '$XDG_RUNTIME_DIR'),
    FALLBACK_DIRECTORY: runtimeDirectory({}).replace(/\d+$/, '$(id -u)'),
    SSH_CONFIG: machineFiles('*').sshConfig,
    MACHINE_STATE: machineFiles('*').state,
  }).trimEnd()
}

/** A file of scripts/docs/shell, words in capitals replaced. */
export function shellText(file: string, words: Readonly<Record<string, string>>): string {
  const text = readFileSync(join(packageRoot(), 'scripts/docs/shell', file), 'utf8')
  return text.replace(/[A-Z]+(?:_[A-Z]+)*/g, word => words[word] ?? word)
}
