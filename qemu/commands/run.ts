// cpu-vm run: a machine for one command. However it ends, there is a record of it, and one exit code.

import { statSync, writeFileSync } from 'node:fs'
import { EXIT_HARNESS } from '../../src/cli/exit-codes.js'
import { describeError } from '../../src/cli/main.js'
import { UsageError } from '../../src/errors.js'
import { quoteLine, quoteWord } from '../../src/ssh/quote.js'
import { describeMachine } from '../dry-run.js'
import { machineOptions, RUN_FLAGS } from '../flags.js'
import { excerpt } from '../kernel-findings.js'
import { NO_KERNEL_LOG, type RunRecord } from '../result.js'
import { runOnce } from '../run.js'
import type { MachineOptions } from '../settings.js'
import { type Flags, projectCommand, reporting } from './command.js'
import { print, say, showConsole } from './output.js'
import { checkSessionFlags, rehearseSession, runSessionIn } from './session.js'

export const run = projectCommand('run', RUN_FLAGS, async (flags, signal) => {
  const { values, operands } = flags
  if (operands.length === 0 && process.stdin.isTTY !== true)
    throw new UsageError('no command is given', 'for example: cpu-vm run -- uname -r')
  if (values.net === 'none')
    throw new UsageError('no command gets into a machine with -net none', 'use cpu-vm start and console')
  const machine: MachineOptions = {
    ...machineOptions(values),
    snapshot: values.snapshot,
    rehearse: rehearseSession,
  }
  if (values['dry-run']) {
    const flags = machine.root !== undefined && values.namespace === undefined ? ['-files', 'none'] : []
    const line = quoteLine(['cpu', ...flags, machine.name ?? 'NAME', ...operands])
    return print(`${await describeMachine({ ...machine, ...reporting(values.v) })}${line}\n`)
  }
  const { result } = values
  if (result !== undefined) announce(result, flags)
  await checkSessionFlags(values)
  const record = await runOnce({
    machine: { ...machine, ...reporting(values.v) },
    command: operands,
    execute: (name, over) => runSessionIn(name, values, operands, { signal: over }),
    timeoutMs: values.timeout,
    failOn: { oops: values['fail-on-oops'], warning: values['fail-on-warning'] },
    repeat: kernel => repeatLine(flags, kernel),
    signal,
  })
  report(record)
  if (record.kept !== undefined)
    say(`${record.kept} is kept: cpu-vm log ${record.kept}; cpu-vm stop ${record.kept} removes it`)
  return result === undefined || written(result, record) ? record.exitCode : EXIT_HARNESS
})

/** Says what went wrong; a command that failed by itself has said so. */
function report({ outcome, message, kernelLog, console }: RunRecord): void {
  if (outcome.kind === 'exit' || outcome.kind === 'signal') {
    const [first, ...others] = kernelLog.findings
    const more = others.length === 0 ? '' : ` (and ${others.length} more)`
    if (first !== undefined) say(`the guest's kernel logged during the command: ${first.text}${more}`)
    return
  }
  say(message)
  if (outcome.kind !== 'interrupted') showConsole(excerpt(console))
}

/** For a shell, in this directory, with the kernel that was booted and the mounts of the environment. */
function repeatLine({ argv, values }: Flags<typeof RUN_FLAGS>, kernel: string | undefined): string {
  const fstab = process.env['CPU_FSTAB']
  const environment = fstab === undefined ? [] : [`CPU_FSTAB=${quoteWord(fstab)}`]
  const chosen = kernel === undefined || values.kernel !== undefined ? [] : ['-kernel', kernel]
  const line = quoteLine(['cpu-vm', 'run', ...chosen, ...argv])
  return [`cd ${quoteWord(process.cwd())} &&`, ...environment, line].join(' ')
}

/** The file never tells of an earlier run: until this one is over, it says that it is not. */
function announce(file: string, flags: Flags<typeof RUN_FLAGS>): void {
  try {
    if (statSync(file, { throwIfNoEntry: false })?.isFile() === false) return
    writeFileSync(file, format(unfinished(flags)))
  } catch (error) {
    throw new UsageError(`cannot write ${file} (-result): ${describeError(error)}`)
  }
}

function unfinished(flags: Flags<typeof RUN_FLAGS>): RunRecord {
  return {
    version: 1,
    outcome: { kind: 'harness-error', code: undefined },
    message: 'the run has not ended, or cpu-vm was killed',
    exitCode: EXIT_HARNESS,
    command: flags.operands,
    repeat: repeatLine(flags, undefined),
    startedAt: new Date().toISOString(),
    machine: undefined,
    kept: undefined,
    flakes: [],
    stages: [],
    kernelLog: NO_KERNEL_LOG,
    console: [],
  }
}

function written(file: string, record: RunRecord): boolean {
  try {
    writeFileSync(file, format(record))
    return true
  } catch (error) {
    say(`cannot write ${file} (-result): ${describeError(error)}`)
    return false
  }
}

function format(record: RunRecord): string {
  return `${JSON.stringify(record, undefined, 2)}\n`
}
