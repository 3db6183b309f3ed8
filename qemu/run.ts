// One run of a command in a machine of its own: from the start to the record, which there is however it ends.

import { freeName, type Machine, startMachine } from './machine.js'
import { listMachines } from './machine-directory.js'
import { MachineError } from './machine-error.js'
import { exitCodeOf, NO_KERNEL_LOG, type RunRecord, type Stage } from './result.js'
import type { MachineOptions, Settings } from './settings.js'
import { type CommandOptions, judgeError, runIn, type Verdict } from './verdict.js'

export interface RunOptions extends CommandOptions {
  readonly machine: MachineOptions
  readonly command: readonly string[]
  /** The command line that repeats the run; the kernel that was booted, once that is known. */
  readonly repeat: (kernel: string | undefined) => string
}

/** Never throws. The machine is gone when it resolves, unless it is to be kept. */
export async function runOnce(options: RunOptions): Promise<RunRecord> {
  const startedAt = new Date().toISOString()
  const stages: Stage[] = []
  const flakes: string[] = []
  const { onStage, onFlake, name = freeName() } = options.machine
  let settings: Settings | undefined
  let machine: Machine | undefined
  const watch = (stage: string, ms: number) => {
    stages.push({ stage, ms: Math.round(ms) })
    onStage?.(stage, ms)
  }
  const verdict = await attempt(async () => {
    machine = await startMachine({
      ...options.machine,
      name,
      signal: options.signal,
      onDecided(decided) {
        settings = decided
      },
      onStage: watch,
      onFlake(reason) {
        flakes.push(reason)
        onFlake?.(reason)
      },
    })
    const start = performance.now()
    try {
      return await runIn(machine, options)
    } finally {
      watch('command', performance.now() - start)
    }
  }, options)
  if (options.machine.keep !== true) await machine?.close().catch(() => undefined)
  return {
    version: 1,
    outcome: verdict.outcome,
    message: verdict.message,
    exitCode: exitCodeOf(verdict.outcome),
    command: options.command,
    repeat: options.repeat(settings?.kernel.image),
    startedAt,
    machine: settings && {
      name,
      kernel: settings.kernel.image,
      release: settings.kernel.release,
      accelerator: machine?.accelerator ?? settings.accelerator,
      restored: machine?.restored ?? false,
    },
    kept: isOurs(name) ? name : undefined,
    flakes,
    stages,
    kernelLog: verdict.kernelLog,
    console: verdict.console,
  }
}

/** Whether it is there still, and not another's whose name was asked for. */
function isOurs(name: string): boolean {
  return listMachines().some(({ state }) => state.name === name && state.launcher.pid === process.pid)
}

/** What is thrown is a verdict, too. */
async function attempt(run: () => Promise<Verdict>, options: RunOptions): Promise<Verdict> {
  try {
    return await run()
  } catch (error) {
    const console = error instanceof MachineError ? error.consoleTail : []
    return { ...judgeError(error, options), kernelLog: NO_KERNEL_LOG, console }
  }
}
