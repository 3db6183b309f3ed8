// Completion for bash, with or without the package bash-completion.

import { flagCompletions, listedOperands, listScript, operandsOf, shellText } from './completion.js'
import type { Command, Manual } from './manual.js'

export function renderBash(manual: Manual): string {
  const { name, commands } = manual
  const prefix = `_${name.replaceAll('-', '_')}`
  return [
    `# Completion of ${name} for bash. Made by npm run docs.`,
    `# Source it, or copy it to ~/.local/share/bash-completion/completions/${name}`,
    '',
    ...listedOperands(manual).flatMap(what => [
      `${prefix}_list_${what}() {`,
      `  sh -c '${listScript(what)}'`,
      '}',
      '',
    ]),
    ...values(prefix, commands),
    shellText('engine.bash', { PREFIX: prefix }),
    ...entry(prefix, name, commands),
    `complete -o default -F ${prefix} ${name}`,
    '',
  ].join('\n')
}

function values(prefix: string, commands: readonly Command[]): string[] {
  const cases = commands.flatMap(({ words, flags }) =>
    flagCompletions(flags)
      .filter(({ choices }) => choices.length > 0)
      .map(
        ({ name, choices }) => `    '${words} ${name}') compgen -P "$4" -W '${choices.join(' ')}' -- "$3" ;;`,
      ),
  )
  return [
    `# ${prefix}_value COMMAND FLAG TEXT [PREFIX]: what the text can become.`,
    `${prefix}_value() {`,
    '  case "$1 $2" in',
    ...cases,
    `    *) [[ $with_value == *" $2 "* ]] || compgen -P "$4" -W 'true false' -- "$3" ;;`,
    '  esac',
    '}',
    '',
  ]
}

function entry(prefix: string, name: string, commands: readonly Command[]): string[] {
  const [only] = commands
  if (commands.length === 1 && only !== undefined)
    return [`${prefix}() {`, '  COMPREPLY=()', `  ${call(prefix, only, 1)}`, '}', '']
  const subcommands = commands.map(({ words }) => words.slice(name.length + 1))
  return [
    `${prefix}() {`,
    '  COMPREPLY=()',
    `  case "$COMP_CWORD \${COMP_WORDS[1]}" in`,
    `    '1 '*) COMPREPLY=($(compgen -W '${subcommands.join(' ')}' -- "\${COMP_WORDS[1]}")) ;;`,
    ...commands.map((command, index) => `    *' ${subcommands[index]}') ${call(prefix, command, 2)} ;;`),
    '  esac',
    '}',
    '',
  ]
}

function call(prefix: string, command: Command, first: number): string {
  const all = flagCompletions(command.flags)
  const shown = all.map(flag => `-${flag.name}${flag.isOn ? '=false' : ''}`).join(' ')
  const withValue = all.flatMap(flag => (flag.hasValue ? [flag.name] : [])).join(' ')
  return `${prefix}_complete '${command.words}' ${first} '${shown}' '${withValue}' '${operandsOf(command).join(' ')}'`
}
