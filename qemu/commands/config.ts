// cpu-vm config: what each flag of `cpu-vm run` is here, and who says so.

import { relative } from 'node:path'
import { formatDuration } from '../../src/cli/duration.js'
import { type Flag, parseFlags } from '../../src/cli/flags.js'
import { quoteWord } from '../../src/ssh/quote.js'
import { fileFlags } from '../file-values.js'
import { CONFIG_FLAGS, RUN_FLAGS } from '../flags.js'
import { findProject, type Origin, resolveSettings, type Setting } from '../project-file.js'
import { command, refuseOperands } from './command.js'
import { print, table } from './output.js'

const HEADINGS = ['FLAG', 'VALUE', 'FROM']

export const config = command('config', CONFIG_FLAGS, async flags => {
  refuseOperands(flags)
  const project = findProject(RUN_FLAGS)
  const shown = fileFlags(RUN_FLAGS)
  const settings = [...resolveSettings(shown, parseFlags(shown, []), project)]
  if (flags.values.json) {
    const values = Object.fromEntries(
      settings.map(([name, { value = null, origin }]) => [name, { value, ...origin }]),
    )
    return print(`${JSON.stringify({ file: project?.file ?? null, values }, undefined, 2)}\n`)
  }
  const rows = settings.map(([name, setting]) => [
    name,
    showValue(shown[name]!, setting),
    showOrigin(setting.origin),
  ])
  return print(table([HEADINGS, ...rows]))
})

function showValue({ kind }: Flag, { value }: Setting): string {
  if (value === undefined) return '-'
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.map(quoteWord).join(' ')
  if (kind === 'duration' && typeof value === 'number') return formatDuration(value)
  return quoteWord(String(value))
}

function showOrigin(origin: Origin): string {
  if (origin.kind === 'environment') return `$${origin.variable}`
  return origin.kind === 'file' ? relative(process.cwd(), origin.place) : origin.kind
}
