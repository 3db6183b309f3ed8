// Completion for fish.

import {
  type FlagCompletion,
  flagCompletions,
  listedOperands,
  listScript,
  type Operand,
  operandsOf,
  shellText,
} from './completion.js'
import type { Command, Manual } from './manual.js'

export function renderFish(manual: Manual): string {
  const { name, commands } = manual
  const prefix = `__${name.replaceAll('-', '_')}`
  const hasSubcommands = commands.length > 1
  return [
    `# Completion of ${name} for fish. Made by npm run docs. Copy it to ~/.config/fish/completions`,
    '',
    ...listedOperands(manual).flatMap(what => [
      `function ${prefix}_list_${what}`,
      "    set -l user (string match -r '.*@' -- (commandline -ct))",
      `    for name in (sh -c '${listScript(what)}')`,
      '        echo "$user$name"',
      '    end',
      'end',
      '',
    ]),
    shellText('engine.fish', {
      PREFIX: prefix,
      FIRST: hasSubcommands ? '2' : '1',
      WITH_VALUE: flagsWithValue(commands).join(' '),
    }),
    `complete -c ${name} -f`,
    ...(hasSubcommands ? subcommands(name, commands) : []),
    ...commands.flatMap(command => completions(name, prefix, command, hasSubcommands)),
    '',
  ].join('\n')
}

function flagsWithValue(commands: readonly Command[]): string[] {
  const flags = commands.flatMap(({ flags }) => flagCompletions(flags)).filter(flag => flag.hasValue)
  return [...new Set(flags.flatMap(({ name }) => [`-${name}`, `--${name}`]))]
}

function subcommands(name: string, commands: readonly Command[]): string[] {
  return commands.map(({ words, help }) => {
    const condition = 'test (count (commandline -opc)) -eq 1'
    return `complete -c ${name} -n '${condition}' -a ${words.slice(name.length + 1)} -d ${quoted(help.summary.replace(/\.$/, ''))}`
  })
}

function completions(name: string, prefix: string, command: Command, hasSubcommands: boolean): string[] {
  const within = hasSubcommands ? command.words.slice(name.length) : ''
  const start = (comparison: string) => `complete -c ${name} -n '${prefix}_at ${comparison}${within}`
  return [
    ...flagCompletions(command.flags).map(flag => `${start('-eq 0')}${flagOptions(flag)}`),
    ...operandsOf(command).map((operand, index, all) => {
      const comparison = index === all.length - 1 ? '-ge' : '-eq'
      if (operand === 'file') return `${start(`${comparison} ${index}`)}' -F`
      return `${start(`${comparison} ${index}`)}' -a '(${prefix}_list_${operand}${commandStart(operand, index)})'`
    }),
  ]
}

function commandStart(operand: Operand, index: number): string {
  return operand === 'command' ? ` ${index}` : ''
}

/** Ends the condition of `complete -n '...`, and goes on from there. */
function flagOptions({ name, text, hasValue, isOn, choices, paths }: FlagCompletion): string {
  const description = `-d ${quoted(text)}`
  // No option, but a word that begins like one.
  if (isOn) return `; and string match -q -- "-*" (commandline -ct)' -a '-${name}=false' ${description}`
  if (!hasValue) return `' -o ${name} ${description}`
  if (choices.length > 0) return `' -o ${name} -x -a '${choices.join(' ')}' ${description}`
  if (paths === 'directories') return `' -o ${name} -x -a '(__fish_complete_directories)' ${description}`
  return `' -o ${name} ${paths === 'files' ? '-r -F' : '-x'} ${description}`
}

function quoted(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`
}
