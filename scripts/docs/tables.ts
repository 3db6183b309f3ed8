// The tables of docs/config.md: made from the manuals, between markers in text that is written by hand.

import { flagUsage } from '../../src/cli/help.js'
import { KERNEL_COMMAND_LINE } from './cpu-vm-manual.js'
import { GUEST_CONFIGURATION, KEY_OPTIONS } from './cpud-manual.js'
import { flagGroups, flagSentence, type Items, listCommands, type Manual } from './manual.js'

/** Replaces what stands between `<!-- made: NAME -->` and `<!-- end -->`. Throws an Error for a name that has no table. */
export function fillTables(text: string, manuals: readonly Manual[]): string {
  const tables = tablesOf(manuals)
  return text.replace(
    /(<!-- made: (.+?) -->\n).*?(<!-- end -->)/gs,
    (_, start: string, name: string, end: string) => {
      const table = tables.get(name)
      if (table === undefined) throw new Error(`no table ${name}: ${[...tables.keys()].join(', ')}`)
      return `${start}\n${table}\n\n${end}`
    },
  )
}

/** By the names under which the text asks for them. */
export function tablesOf(manuals: readonly Manual[]): Map<string, string> {
  const tables = new Map([
    ['authorized_keys', itemTable('Option', KEY_OPTIONS)],
    ['guest', itemTable('Field', GUEST_CONFIGURATION)],
    ['kernel', `    ${KERNEL_COMMAND_LINE}`],
  ])
  for (const manual of manuals) {
    tables.set(`${manual.name} flags`, flagTables(manual))
    tables.set(`${manual.name} environment`, itemTable('Variable', manual.environment))
    tables.set(`${manual.name} files`, itemTable('File', manual.files))
  }
  return tables
}

function flagTables(manual: Manual): string {
  const tables = flagGroups(manual).map(({ commands, flags }) => {
    const rows = flags.map(([name, flag]) => {
      const more = manual.more[name]
      return [
        flagUsage(name, flag),
        [flagSentence(flag), ...(more === undefined ? [] : [more])].join(' '),
      ] as const
    })
    const title = commands.length === 0 ? [] : [`Of ${listCommands(commands, manual.commands.length)}:`, '']
    return [...title, itemTable('Flag', rows)].join('\n')
  })
  return tables.join('\n\n')
}

function itemTable(title: string, items: Items): string {
  const cell = (text: string) => text.replaceAll('|', '\\|')
  // Such as "all others", which is no literal.
  const term = (text: string) => (/^[a-z]+( [a-z]+)+$/.test(text) ? text : `\`${cell(text)}\``)
  const rows = items.map(([literal, text]) => `| ${term(literal)} | ${cell(text)} |`)
  return [`| ${title} | Means |`, '| --- | --- |', ...rows].join('\n')
}
