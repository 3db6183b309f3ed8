// Manuals as man pages: man(7), in what both groff and mandoc understand.

import type { Flag } from '../../src/cli/flags.js'
import { flagUsage, wrap } from '../../src/cli/help.js'
import {
  type Block,
  type Command,
  flagGroups,
  flagSentence,
  HISTORY,
  type Items,
  listCommands,
  type Manual,
} from './manual.js'

const COLUMNS = 79
const TITLES = { 1: 'User Commands', 8: 'System Administration' } as const

/** The page, which has the version in it and no date, so that it is the same wherever it is made. */
export function renderMan(manual: Manual, version: string): string {
  const { name, section, commands, description, operands, behaviour, closing } = manual
  const title = [name.toUpperCase(), section, '', `cpu-harness ${version}`, TITLES[section]]
  const lines = [
    '.\\" Made by npm run docs, from the tables of flags and scripts/docs/.',
    `.TH ${title.map(word => `"${literal(String(word))}"`).join(' ')}`,
    // Hyphens of our own in literals would be taken for part of them, and so would wide gaps.
    '.nh',
    '.ad l',
    '.SH NAME',
    `${literal(name)} \\- ${prose(manual.purpose)}`,
    '.SH SYNOPSIS',
    ...commands.flatMap(renderSynopsis).slice(1),
    ...renderSection('DESCRIPTION', description),
    ...(operands === undefined ? [] : renderSection(operands.title, operands.blocks)),
    ...(commands.length > 1 ? ['.SH COMMANDS', ...commands.flatMap(renderCommand)] : []),
    '.SH OPTIONS',
    ...renderText(FLAG_SYNTAX),
    ...renderFlags(manual),
    ...behaviour.flatMap(({ title, blocks }) => renderSection(title, blocks)),
    ...renderSection('EXIT STATUS', [{ items: manual.exitStatus }]),
    ...renderSection('ENVIRONMENT', [{ items: manual.environment }]),
    ...renderSection('FILES', [{ items: manual.files }]),
    ...renderSection('EXAMPLES', [{ items: examples(manual) }]),
    ...closing.flatMap(({ title, blocks }) => renderSection(title, blocks)),
    '.SH SEE ALSO',
    manual.seeAlso.map(page => page.replace(/^[^(]+/, name => `\\fB${literal(name)}\\fR`)).join(',\n'),
    ...renderSection('HISTORY', [HISTORY]),
  ]
  return `${lines.join('\n')}\n`
}

const FLAG_SYNTAX =
  'Flags are written `-name`, `-name VALUE` or `-name=VALUE`, with one dash or two, and end at the first operand or at `--`. Those that are only on or off take `=true` and `=false`. Times are written as `10s`, `250ms` or `1m30s`.'

function renderSynopsis({ words, help }: Command): string[] {
  const rest = help.usage.slice(words.length).replace(/--|[A-Za-z]+/g, word => {
    return word === '--' ? '\\fB\\-\\-\\fR' : `\\fI${word}\\fR`
  })
  return ['.PP', `\\fB${literal(words)}\\fR${rest}`]
}

function renderCommand({ words, help }: Command): string[] {
  return renderItem([words, help.summary])
}

function renderFlags(manual: Manual): string[] {
  return flagGroups(manual).flatMap(({ commands, flags }) => [
    ...(commands.length === 0 ? [] : [`.SS Of ${listCommands(commands, manual.commands.length)}`]),
    ...flags.flatMap(([name, flag]) => renderFlag(name, flag, manual.more[name])),
  ])
}

function renderFlag(name: string, flag: Flag, more: string | undefined): string[] {
  const [, head = '', value] = /^(\S+)(?: (.*))?$/.exec(flagUsage(name, flag)) ?? []
  const tag = `\\fB${literal(head)}\\fR${value === undefined ? '' : ` \\fI${literal(value)}\\fR`}`
  return ['.TP', tag, ...renderText(flagSentence(flag)), ...renderText(more ?? '')]
}

function examples({ commands, examples }: Manual): Items {
  return [...commands.flatMap(({ help }) => help.examples), ...examples].map(({ command, does }) => [
    command,
    does,
  ])
}

function renderSection(title: string, blocks: readonly Block[]): string[] {
  return [`.SH ${title}`, ...blocks.flatMap((block, index) => renderBlock(block, index === 0))]
}

function renderBlock(block: Block, isFirst: boolean): string[] {
  if (typeof block === 'string') return [...(isFirst ? [] : ['.PP']), ...renderText(block)]
  if ('items' in block) return block.items.flatMap(renderItem)
  const code = block.code.split('\n').map(line => guarded(literal(line)))
  return [...(isFirst ? [] : ['.PP']), '.RS 4', '.EX', ...code, '.EE', '.RE']
}

function renderItem([term, text]: Items[number]): string[] {
  return ['.TP', `\\fB${literal(term)}\\fR`, ...renderText(text)]
}

/** Each sentence on lines of its own, as roff wants it. */
function renderText(text: string): string[] {
  if (text === '') return []
  const sentences = text.split(/(?<=[.:?!][)`]?) (?=[A-Z`~$(/])/)
  return sentences.flatMap(sentence => wrap(prose(sentence), COLUMNS)).map(guarded)
}

/** A line that begins with one of these would be a request. */
function guarded(line: string): string {
  return /^[.']/.test(line) ? `\\&${line}` : line
}

/** What is in backquotes, and flags anywhere, in bold. */
function prose(text: string): string {
  return text
    .split('`')
    .map((part, index) => (index % 2 === 1 ? `\\fB${literal(part)}\\fR` : plain(part)))
    .join('')
}

const FLAG = /(?<=^|[\s(])-[A-Za-z0-9][\w-]*(?:=\w+)?/g

function plain(text: string): string {
  let end = 0
  let made = ''
  for (const { 0: flag, index } of text.matchAll(FLAG)) {
    made += `${special(text.slice(end, index))}\\fB${literal(flag)}\\fR`
    end = index + flag.length
  }
  return made + special(text.slice(end))
}

/** As it is typed: hyphens and quotes that can be copied. */
function literal(text: string): string {
  return special(text).replaceAll('-', '\\-').replaceAll("'", '\\(aq').replaceAll('"', '\\(dq')
}

const SPECIAL: Readonly<Record<string, string>> = { '\\': '\\e', '`': '\\(ga', '^': '\\(ha', '~': '\\(ti' }

function special(text: string): string {
  return text.replace(/[\\`^~]|[^\0-\x7f]/gu, character => {
    const code = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')
    return SPECIAL[character] ?? `\\[u${code}]`
  })
}
