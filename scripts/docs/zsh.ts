// Completion for zsh, by its own _arguments.

import {
  type FlagCompletion,
  flagCompletions,
  type Listed,
  listedOperands,
  listScript,
  type Operand,
  operandsOf,
} from './completion.js'
import type { Command, Manual } from './manual.js'

export function renderZsh(manual: Manual): string {
  const { name, commands } = manual
  const [only] = commands
  return [
    `#compdef ${name}`,
    `# Completion of ${name} for zsh. Made by npm run docs. Copy it to a directory of $fpath.`,
    '',
    ...listedOperands(manual).flatMap(what => lister(name, what)),
    ...(commands.length === 1 && only !== undefined
      ? argumentsOf(name, only, '')
      : subcommands(name, commands)),
    '',
  ].join('\n')
}

function lister(name: string, what: Listed): string[] {
  return [
    `_${name}_list_${what}() {`,
    ...(what === 'host' ? [`  compset -P '*@'`] : []),
    '  local -a names expl',
    `  names=(\${(f)"$(sh -c '${listScript(what)}')"})`,
    `  _wanted ${what}s expl ${what} compadd -a names`,
    '}',
    '',
  ]
}

function subcommands(name: string, commands: readonly Command[]): string[] {
  const short = ({ words }: Command) => words.slice(name.length + 1)
  return [
    'local curcontext=$curcontext state line',
    'local -a subcommands',
    'subcommands=(',
    ...commands.map(command => `  ${quoted(`${short(command)}:${command.help.summary.replace(/\.$/, '')}`)}`),
    ')',
    `_arguments -C '1:command:{_describe command subcommands}' '*::argument:->arguments'`,
    '[[ $state == arguments ]] && case $words[1] in',
    ...commands.flatMap(command => [`  ${short(command)})`, ...argumentsOf(name, command, '    '), '    ;;']),
    'esac',
  ]
}

function argumentsOf(name: string, command: Command, indent: string): string[] {
  const specs = [
    ...flagCompletions(command.flags).map(flagSpec),
    ...operandsOf(command).map((operand, index, all) =>
      operandSpec(name, operand, index === all.length - 1 ? '*' : `${index + 1}`),
    ),
  ]
  const lines = specs.map(spec => `${indent}  ${quoted(spec)}`)
  return [`${indent}_arguments -S -A '-*' \\`, lines.join(' \\\n')]
}

function flagSpec({ name, text, hasValue, isOn, isRepeatable, choices, paths }: FlagCompletion): string {
  const explanation = `[${text.replace(/[\\[\]]/g, '\\$&')}]`
  if (isOn) return `-${name}=-${explanation}:value:(false true)`
  if (!hasValue) return `-${name}${explanation}`
  const actions = { files: '_files', directories: '_files -/' }
  const action =
    choices.length > 0
      ? `(${choices.join(' ').replaceAll(':', '\\:')})`
      : paths === undefined
        ? ' '
        : actions[paths]
  return `${isRepeatable ? '*' : ''}-${name}=${explanation}:${name}:${action}`
}

/** `place` is a number, or `*` for all that follow. */
function operandSpec(name: string, operand: Operand, place: string): string {
  if (operand === 'command') return `${place}:::command:_normal`
  return `${place}:${operand}:${operand === 'file' ? '_files' : `_${name}_list_${operand}`}`
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}
