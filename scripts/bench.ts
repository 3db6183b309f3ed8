// npm run bench [-- -json] [-only server,...] [-repeat N] [-quick]: measures the tables of scripts/bench/, compares
// them with their goals, and draws each into docs/bench/. A goal that is not met is no failure of the run.

import { mkdirSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { defineFlags, parseFlags } from '../src/cli/flags.js'
import { type HelpText, renderHelp } from '../src/cli/help.js'
import { runMain } from '../src/cli/main.js'
import { UsageError } from '../src/errors.js'
import { packageRoot } from '../src/version.js'
import { bootTable } from './bench/boot-table.js'
import { cacheTable } from './bench/cache-table.js'
import { guestTable, nestedTable } from './bench/guest-table.js'
import { loopbackTable } from './bench/loopback-table.js'
import { need } from './bench/needs.js'
import { plotTable } from './bench/plot.js'
import { formatTable, reportTable, type TableReport } from './bench/report.js'
import { measureServer } from './bench/server-table.js'
import { sessionTable } from './bench/session-table.js'
import { sshTable } from './bench/ssh-table.js'
import type { BenchOptions, MeasureTable } from './bench/table.js'

/** In the order in which they are measured. */
const tables: Readonly<Record<string, MeasureTable>> = {
  server: measureServer,
  ssh: sshTable,
  cache: cacheTable,
  guest: guestTable,
  nested: nestedTable,
  session: sessionTable,
  loopback: loopbackTable,
  boot: bootTable,
}

const FLAGS = defineFlags({
  json: { kind: 'boolean', help: 'print everything measured as JSON' },
  only: { kind: 'string', placeholder: 'TABLE,...', help: `of ${Object.keys(tables).join(', ')}` },
  repeat: { kind: 'integer', min: 1, help: 'alternating repetitions, instead of each table’s own number' },
  quick: { kind: 'boolean', help: 'little work, to see that it runs; leaves docs/bench alone' },
  help: { kind: 'boolean', help: 'show this' },
})

const HELP: HelpText = {
  usage: 'npm run bench -- [flags]',
  summary: 'Measures this project beside its peers, on this machine.',
  examples: [],
  footer: 'A goal that is not met is told, and is no failure.',
}

void runMain('bench', async argv => {
  const { values, operands } = parseFlags(FLAGS, argv)
  if (values.help) {
    console.log(renderHelp(FLAGS, HELP))
    return 0
  }
  if (operands.length > 0) throw new UsageError(`unexpected operand ${operands[0]}`)
  const names = chosen(values.only)
  const say = (line: string) => console.error(`bench: ${line}`)
  const options: BenchOptions = { repeat: values.repeat, quick: values.quick, say }
  const machine = machineFacts()
  if (!values.quick) await need(['gnuplot'], say)
  const reports: TableReport[] = []
  for (const name of names) {
    say(`measuring: ${name}`)
    const report = reportTable(await tables[name]!(options))
    reports.push(report)
    if (!values.json) console.log(`${formatTable(report)}\n`)
    if (!values.quick) await record(report, machine)
  }
  if (values.json) console.log(JSON.stringify({ machine, tables: reports }, undefined, 2))
  else console.log(Object.values(machine).join(', '))
  return 0
})

function chosen(only: string | undefined): string[] {
  const names = only?.split(',') ?? Object.keys(tables)
  const unknown = names.find(name => !Object.hasOwn(tables, name))
  if (unknown === undefined) return names
  throw new UsageError(
    `unknown table ${JSON.stringify(unknown)}`,
    `there are ${Object.keys(tables).join(', ')}`,
  )
}

function machineFacts(): Record<string, string> {
  const [first] = os.cpus()
  return {
    processor: `${os.availableParallelism()} x ${first?.model ?? os.arch()}`,
    memory: `${Math.round(os.totalmem() / 2 ** 30)} GiB`,
    kernel: `${os.type()} ${os.release()}`,
    node: `Node ${process.version}`,
    date: new Date().toISOString().slice(0, 10),
  }
}

/** The table as a plot and as text. */
async function record(report: TableReport, machine: Record<string, string>): Promise<void> {
  const directory = join(packageRoot(), 'docs/bench')
  mkdirSync(directory, { recursive: true })
  await plotTable(report, join(directory, `${report.name}.svg`))
  const text = `${formatTable(report)}\n- ${Object.values(machine).join(', ')}\n`
  writeFileSync(join(directory, `${report.name}.txt`), text)
}
