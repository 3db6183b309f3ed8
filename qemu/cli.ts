// cpu-vm: argv -> one command -> exit code.

import { constants } from 'node:os'
import { EXIT_HARNESS, EXIT_USAGE, signalExitCode } from '../src/cli/exit-codes.js'
import { describeError } from '../src/cli/main.js'
import { UsageError } from '../src/errors.js'
import { nearestName } from '../src/nearest-name.js'
import { version } from '../src/version.js'
import type { Command } from './commands/command.js'
import { config } from './commands/config.js'
import { consoleCommand } from './commands/console.js'
import { doctor } from './commands/doctor.js'
import { exec } from './commands/exec.js'
import { image } from './commands/image.js'
import { kernel } from './commands/kernel.js'
import { list } from './commands/list.js'
import { log } from './commands/log.js'
import { print, say, showConsole } from './commands/output.js'
import { run } from './commands/run.js'
import { start } from './commands/start.js'
import { stop } from './commands/stop.js'
import { test } from './commands/test.js'
import { wait } from './commands/wait.js'
import { HELP } from './help.js'
import { MachineError } from './machine-error.js'
import { Interruption } from './verdict.js'

const COMMANDS: Readonly<Record<string, Command>> = {
  run,
  start,
  test,
  config,
  exec,
  console: consoleCommand,
  log,
  wait,
  stop,
  list,
  kernel,
  image,
  doctor,
}

/** Runs one cpu-vm command; resolves to its exit code. SIGINT and SIGTERM end it in an orderly way. */
export async function main(argv: string[]): Promise<number> {
  // A process that runs out of things to wait for has not done what it was to do.
  process.exitCode = EXIT_HARNESS
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

/** Aborts on the first SIGINT, SIGTERM or SIGHUP, and makes that the exit code when all is cleaned up. */
async function interruptible(command: (signal: AbortSignal) => Promise<number>): Promise<number> {
  const controller = new AbortController()
  let received: NodeJS.Signals | undefined
  const interrupt = (signal: NodeJS.Signals) => {
    received ??= signal
    controller.abort(new Interruption(signal))
  }
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  for (const signal of signals) process.on(signal, interrupt)
  try {
    return await command(controller.signal)
  } catch (error) {
    if (received !== undefined) {
      say(`interrupted by ${received}`)
      return signalExitCode(constants.signals[received])
    }
    if (!(error instanceof MachineError)) throw error
    say(describeError(error))
    showConsole(error.consoleTail)
    return EXIT_HARNESS
  } finally {
    for (const signal of signals) process.off(signal, interrupt)
  }
}

function help(code: number): number {
  const lines = Object.values(HELP).map(({ text }) => `  ${text.usage}\n      ${text.summary}\n`)
  const text = `usage: cpu-vm COMMAND [flags] ...\n${lines.join('')}cpu-vm COMMAND -help shows the flags.\n`
  if (code === 0) process.stdout.write(text)
  else process.stderr.write(text)
  return code
}
