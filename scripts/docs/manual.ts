// What there is to say of a command besides its flags. Prose has `literals` in backquotes, as Markdown has them: man
// pages and docs/config.md are both made of it.

import type { Flag, FlagTable } from '../../src/cli/flags.js'
import type { HelpText } from '../../src/cli/help.js'
import { describeFlag, shownFlags } from '../../src/cli/help.js'

/** Literals, each with what it means. */
export type Items = readonly (readonly [literal: string, text: string])[]

/** A paragraph, a list, or lines as they are typed. */
export type Block = string | { readonly items: Items } | { readonly code: string }

export interface Section {
  readonly title: string
  readonly blocks: readonly Block[]
}

/** One table of flags, and what stands before and behind them. */
export interface Command {
  /** `cpu`, `cpu-vm run`. */
  readonly words: string
  readonly flags: FlagTable
  readonly help: HelpText
}

export interface Manual {
  readonly name: string
  readonly section: 1 | 8
  /** Half a sentence, for apropos(1). */
  readonly purpose: string
  /** One, or one for each subcommand. */
  readonly commands: readonly Command[]
  readonly description: readonly Block[]
  /** Between the description and the flags. */
  readonly operands?: Section
  /** More on a flag than its table says, by its name. */
  readonly more: Readonly<Record<string, string>>
  /** Behind the flags. */
  readonly behaviour: readonly Section[]
  readonly exitStatus: Items
  readonly environment: Items
  readonly files: Items
  readonly examples: HelpText['examples']
  readonly closing: readonly Section[]
  readonly seeAlso: readonly string[]
}

export const HISTORY =
  'The cpu command is of Plan 9 from Bell Labs, where a terminal had files and a screen, and a CPU server had the processors. The u-root project brought it to Linux, in Go; this is another of its kind, and follows the same protocol.'

export interface FlagGroup {
  /** The subcommands that have exactly these flags; empty where there are no subcommands. */
  readonly commands: readonly string[]
  readonly flags: readonly (readonly [name: string, flag: Flag])[]
}

/** Each flag once, with the subcommands that share it; those of every command last. */
export function flagGroups({ name, commands }: Manual): FlagGroup[] {
  const owners = new Map<Flag, { name: string; commands: string[] }>()
  for (const { words, flags } of commands)
    for (const [flagName, flag] of shownFlags(flags)) {
      const known = owners.get(flag) ?? { name: flagName, commands: [] }
      known.commands.push(words.slice(name.length + 1))
      owners.set(flag, known)
    }
  const groups = new Map<string, [string, Flag][]>()
  for (const [flag, owner] of owners) {
    const key = owner.commands.join(' ')
    groups.set(key, [...(groups.get(key) ?? []), [owner.name, flag]])
  }
  return [...groups]
    .map(([key, flags]) => ({ commands: key === '' ? [] : key.split(' '), flags }))
    .sort(
      (a, b) => Number(a.commands.length === commands.length) - Number(b.commands.length === commands.length),
    )
}

/** `start and run`, `stop, list and doctor`, `every command`. */
export function listCommands(commands: readonly string[], all: number): string {
  if (commands.length === all) return 'every command'
  return commands.join(', ').replace(/, ([^,]*)$/, ' and $1')
}

/** Help is in half sentences; a name at its start stays as it is. */
export function flagSentence(flag: Flag): string {
  const text = describeFlag(flag)
  const [word = ''] = /^[a-z]+(?=[ ,:;]|$)/.exec(text) ?? []
  const isName = 'choices' in flag && flag.choices?.includes(word)
  return `${isName ? word : word.slice(0, 1).toUpperCase() + word.slice(1)}${text.slice(word.length)}.`
}
