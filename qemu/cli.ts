// cpu-vm: argv -> options -> one call -> exit code.

import { constants } from 'node:os'
import { CPU_FLAGS } from '../src/cli/cpu-flags.js'
import { EXIT_HARNESS, EXIT_USAGE, signalExitCode } from '../src/cli/exit-codes.js'
import { type FlagTable, type ParsedFlags, parseFlags } from '../src/cli/flags.js'
import { renderHelp } from '../src/cli/help.js'
import { UsageError } from '../src/errors.js'
import { nearestName } from '../src/nearest-name.js'
import { version } from '../src/version.js'
import { fetchDebianKernel } from './debian-kernel.js'
import { canStart, examine } from './doctor.js'
import { HELP, KERNEL_FLAGS, machineOptions, PLAIN_FLAGS, RUN_FLAGS, START_FLAGS } from './flags.js'
import { cachedKernels } from './kernel.js'
import { type Machine, startMachine, stopMachine } from './machine.js'
import { cleanStaleMachines, listMachines } from './machine-directory.js'
import { MachineError } from './machine-error.js'
import type { MachineOptions } from './settings.js'

const COMMANDS: Readonly<Record<string, (argv: string[], signal: AbortSignal) => Promise<number>>> = {
  start,
  run,
  stop,
  list,
  kernel,
  doctor,
}

/** Runs one cpu-vm command; resolves to its exit code. SIGINT and SIGTERM end it in an orderly way. */
export async function main(argv: string[]): Promise<number> {
  const [name, ...rest] = argv
  if (name === undefined || /^--?(h|help)$/.test(name)) return help(name === undefined ? EXIT_USAGE : 0)
  if (/^--?version$/.test(name)) return print(`cpu-vm ${version()}\n`)
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (command === undefined) {
    const nearest = nearestName(name, Object.keys(COMMANDS))
    const remedy =
      nearest === undefined ? `commands: ${Object.keys(COMMANDS).join(', ')}` : `did you mean ${nearest}?`
    throw new UsageError(`unknown command ${JSON.stringify(name)}`, remedy)
  }
  return interruptible(signal => command(rest, signal))
}

async function start(argv: string[], signal: AbortSignal): Promise<number> {
  const flags = parseFlags(START_FLAGS, argv)
  if (flags.values.help || flags.values.h) return helpFor('start')
  refuseOperands(flags)
  const options = { ...machineOptions(flags.values), ...reporting(flags.values.v), signal, detached: true }
  const machine = await startMachine(options)
  const hints = [`cpu ${machine.name} COMMAND`]
  if (machine.cid !== undefined) hints.push(`cpu -net vsock ${machine.cid} COMMAND`)
  say(`${machine.name} is ready (${(machine.bootMs / 1000).toFixed(1)} s): ${hints.join(', or ')}`)
  return 0
}

async function run(argv: string[], signal: AbortSignal): Promise<number> {
  const flags = parseFlags(RUN_FLAGS, argv)
  if (flags.values.help || flags.values.h) return helpFor('run')
  if (flags.operands.length === 0 && process.stdin.isTTY !== true) {
    throw new UsageError('no command is given', 'for example: cpu-vm run -- uname -r')
  }
  const machine = await startMachine({
    ...machineOptions(flags.values),
    ...reporting(flags.values.v),
    signal,
  })
  try {
    return await runIn(machine, flags, signal)
  } finally {
    await machine.stop()
  }
}

/** The command itself, by the client, as `cpu NAME COMMAND` would run it; or the machine's end, if that is first. */
async function runIn(
  machine: Machine,
  flags: ParsedFlags<typeof RUN_FLAGS>,
  signal: AbortSignal,
): Promise<number> {
  // Loaded here, since no other command needs the client.
  const { runCommand } = await import('../src/client/run.js')
  const { clientOptions } = await import('../src/client/settings.js')
  const { namespace, fstab, v } = flags.values
  const clientFlags = [
    ...(namespace === undefined ? [] : [`-namespace=${namespace}`]),
    ...(fstab === undefined ? [] : [`-fstab=${fstab}`]),
    ...(v ? ['-v'] : []),
  ]
  const parsed = parseFlags(CPU_FLAGS, [...clientFlags, machine.name, ...flags.operands])
  const ended = machine.exited.then(reason => {
    throw new Error(`the machine is gone: ${reason}`)
  })
  ended.catch(() => undefined)
  return Promise.race([runCommand({ ...clientOptions(parsed), signal }), ended])
}

async function stop(argv: string[]): Promise<number> {
  const flags = parseFlags(PLAIN_FLAGS, argv)
  if (flags.values.help || flags.values.h) return helpFor('stop')
  if (flags.operands.length === 0)
    throw new UsageError('no machine is named', 'cpu-vm list shows those that run')
  for (const name of flags.operands) await stopMachine(name)
  return 0
}

async function list(argv: string[]): Promise<number> {
  const flags = parseFlags(PLAIN_FLAGS, argv)
  if (flags.values.help || flags.values.h) return helpFor('list')
  refuseOperands(flags)
  await cleanStaleMachines()
  const rows = listMachines().map(({ state }) => [
    state.name,
    state.ready ? 'ready' : 'starting',
    state.cid === undefined ? '-' : `vsock/${state.cid}`,
    state.tcpPort === undefined ? '-' : `127.0.0.1:${state.tcpPort}`,
    state.release ?? '-',
    state.accelerator ?? '-',
    String(state.qemu?.pid ?? '-'),
  ])
  return print(table([['NAME', 'STATE', 'VSOCK', 'TCP', 'KERNEL', 'ACCEL', 'PID'], ...rows]))
}

async function kernel(argv: string[], signal: AbortSignal): Promise<number> {
  const flags = parseFlags(KERNEL_FLAGS, argv)
  if (flags.values.help || flags.values.h) return helpFor('kernel')
  refuseOperands(flags)
  if (flags.values.fetch !== undefined) {
    const { image } = await fetchDebianKernel({ flavour: flags.values.fetch, signal, onProgress: say })
    return print(`${image}\n`)
  }
  const rows = (await cachedKernels()).map(({ release, features, image }) => [
    release,
    features.fuse,
    features['9p'],
    features.virtiofs,
    features.vsock,
    features.kvm,
    image,
  ])
  return print(table([['RELEASE', 'FUSE', '9P', 'VIRTIOFS', 'VSOCK', 'KVM', 'FILE'], ...rows]))
}

async function doctor(argv: string[]): Promise<number> {
  const flags = parseFlags(PLAIN_FLAGS, argv)
  if (flags.values.help || flags.values.h) return helpFor('doctor')
  refuseOperands(flags)
  const findings = await examine()
  for (const { subject, works, text, remedy } of findings) {
    print(`${subject.padEnd(10)} ${works ? 'ok' : 'no'}  ${text}\n`)
    if (remedy !== undefined) print(`${''.padEnd(14)} ${remedy}\n`)
  }
  return canStart(findings) ? 0 : EXIT_HARNESS
}

/** Aborts on the first SIGINT or SIGTERM, and makes that the exit code when all is cleaned up. */
async function interruptible(command: (signal: AbortSignal) => Promise<number>): Promise<number> {
  const controller = new AbortController()
  let received: NodeJS.Signals | undefined
  const interrupt = (signal: NodeJS.Signals) => {
    received ??= signal
    controller.abort(new Error(`interrupted by ${signal}`))
  }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const signal of signals) process.on(signal, interrupt)
  try {
    return await command(controller.signal)
  } catch (error) {
    if (received !== undefined) {
      say(`interrupted by ${received}, nothing is left running`)
      return signalExitCode(constants.signals[received])
    }
    if (error instanceof MachineError)
      for (const line of error.consoleTail) process.stderr.write(`  | ${line}\n`)
    throw error
  } finally {
    for (const signal of signals) process.off(signal, interrupt)
  }
}

function reporting(verbose: boolean): Pick<MachineOptions, 'onMessage' | 'onStage'> {
  return {
    onMessage: say,
    ...(verbose ? { onStage: (stage: string, ms: number) => say(`${stage}: ${Math.round(ms)} ms`) } : {}),
  }
}

function refuseOperands({ operands }: { readonly operands: readonly string[] }): void {
  if (operands[0] !== undefined) throw new UsageError(`unexpected operand ${JSON.stringify(operands[0])}`)
}

function help(code: number): number {
  const lines = Object.values(HELP).map(({ text }) => `  ${text.usage}\n      ${text.summary}\n`)
  const text = `usage: cpu-vm COMMAND [flags] ...\n${lines.join('')}cpu-vm COMMAND -help shows the flags.\n`
  if (code === 0) process.stdout.write(text)
  else process.stderr.write(text)
  return code
}

function helpFor(command: string): number {
  const { table: flags, text } = HELP[command] as { table: FlagTable; text: Parameters<typeof renderHelp>[1] }
  return print(renderHelp(flags, text))
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map(row => row[column]!.length)))
  const lines = rows.map(row =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  )
  return `${lines.join('\n')}\n`
}

function print(text: string): number {
  process.stdout.write(text)
  return 0
}

function say(line: string): void {
  process.stderr.write(`cpu-vm: ${line}\n`)
}
