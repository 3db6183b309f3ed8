// Short help of a command, from the table its flags are parsed with: usage, examples, then the flags in two
// columns, at most 80 columns wide. The manuals (scripts/docs/) tell of flags in the same words.

import { formatDuration } from './duration.js'
import type { Flag, FlagTable } from './flags.js'

const COLUMNS = 80
/** Flags longer than this have their text on the next line. */
const FLAG_COLUMN = 24

export interface HelpText {
  /** The command's name and operands, such as `cpu [flags] host [command [args]]`. */
  readonly usage: string
  /** What the command does, one sentence. */
  readonly summary: string
  /** Command lines that work as they are, each with what it does. */
  readonly examples: readonly { readonly command: string; readonly does: string }[]
  /** Shown last, such as where the manual is. */
  readonly footer?: string
}

/** The whole help text, with a line feed at its end. */
export function renderHelp(table: FlagTable, text: HelpText): string {
  const lines = [`usage: ${text.usage}`, ...wrap(text.summary, COLUMNS)]
  if (text.examples.length > 0) lines.push('', ...renderExamples(text.examples))
  const shown = shownFlags(table)
  if (shown.length > 0) lines.push('', 'flags:', ...shown.flatMap(([name, flag]) => renderFlag(name, flag)))
  if (text.footer !== undefined) lines.push('', ...wrap(text.footer, COLUMNS))
  return `${lines.join('\n')}\n`
}

/** The flags that users are told of, in order. */
export function shownFlags(table: FlagTable): [name: string, flag: Flag][] {
  return Object.entries(table).filter(([, flag]) => flag.hidden !== true)
}

function renderExamples(examples: HelpText['examples']): string[] {
  const width = Math.max(...examples.map(example => example.command.length))
  const column = 2 + width + 2
  return examples.flatMap(({ command, does }) =>
    column + does.length <= COLUMNS
      ? [`  ${command.padEnd(width)}  ${does}`]
      : [`  ${command}`, ...wrap(does, COLUMNS - 6).map(line => `      ${line}`)],
  )
}

function renderFlag(name: string, flag: Flag): string[] {
  const head = `  ${flagUsage(name, flag)}`
  const text = wrap(describeFlag(flag), COLUMNS - FLAG_COLUMN)
  const indented = text.map(line => ' '.repeat(FLAG_COLUMN) + line)
  if (head.length + 2 > FLAG_COLUMN) return [head, ...indented]
  return [head.padEnd(FLAG_COLUMN) + text[0]!, ...indented.slice(1)]
}

/** A flag as it is written: `-sp PORT`, `-9p=false` for a boolean that is on unless switched off. */
export function flagUsage(name: string, flag: Flag): string {
  if (flag.kind === 'boolean') return flag.default === true ? `-${name}=false` : `-${name}`
  return `-${name} ${flag.placeholder ?? (flag.kind === 'integer' ? 'N' : flag.kind === 'duration' ? 'TIME' : 'VALUE')}`
}

/** What a flag does, with its choices and default in brackets, unless the text has them already. */
export function describeFlag(flag: Flag): string {
  const [, help = flag.help, defaultNote] = /^(.*) \((default [^()]*)\)$/s.exec(flag.help) ?? []
  const notes = [...flagNotes(flag), ...(defaultNote === undefined ? [] : [defaultNote])]
  return notes.length === 0 ? help : `${help} (${notes.join('; ')})`
}

function flagNotes(flag: Flag): string[] {
  const notes: string[] = []
  const words = new Set(flag.help.split(/[^\w-]+/))
  if ('choices' in flag && flag.choices?.some(choice => !words.has(choice)))
    notes.push(flag.choices.join(', '))
  if (flag.kind === 'list' && !words.has('repeated')) notes.push('repeatable')
  if (flag.kind === 'duration' && flag.default !== undefined)
    notes.push(`default ${formatDuration(flag.default)}`)
  if (
    (flag.kind === 'string' || flag.kind === 'integer') &&
    flag.default !== undefined &&
    flag.default !== ''
  )
    notes.push(`default ${flag.default}`)
  return notes
}

/** Lines of at most `width` columns; a word that is longer stands alone. Never empty. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}
