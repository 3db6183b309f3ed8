// cpu-vm test: a matrix of kernels, configurations and commands from one file. TAP on stdout; the exit code is 0 only
// where every test has passed.

import { constants } from 'node:os'
import { dirname, resolve } from 'node:path'
import { EXIT_HARNESS, signalExitCode } from '../../src/cli/exit-codes.js'
import { parseFlags } from '../../src/cli/flags.js'
import { UsageError } from '../../src/errors.js'
import { quoteLine } from '../../src/ssh/quote.js'
import { describeMachine } from '../dry-run.js'
import { COMMAND_FLAGS, RUN_FLAGS, TEST_FLAGS } from '../flags.js'
import { type Budget, hostBudget } from '../matrix/budget.js'
import { KeptFiles } from '../matrix/kept-files.js'
import { type MatrixFile, readMatrixFile } from '../matrix/matrix-file.js'
import { type MachineResult, matrixExitCode, totals } from '../matrix/matrix-result.js'
import { type PlannedMachine, planMachines } from '../matrix/plan.js'
import { type PrepareOptions, prepareJobs, prepareKernels } from '../matrix/prepare.js'
import { Reports } from '../matrix/reports.js'
import type { MachineJob } from '../matrix/run-machine.js'
import { runMatrix, unfinishedResults } from '../matrix/run-matrix.js'
import { tapComment, tapResult, tapStart } from '../matrix/tap.js'
import { findProject, withProject } from '../project-file.js'
import { Interruption } from '../verdict.js'
import { command, type Flags } from './command.js'
import { print, say } from './output.js'

type Values = Flags<typeof TEST_FLAGS>['values']

export const test = command('test', TEST_FLAGS, async ({ values, operands }, signal) => {
  const reports = new Reports(isRun(values) ? values : {})
  const matrix = readMatrixFile(matrixOperand(operands), { machine: RUN_FLAGS, command: COMMAND_FLAGS })
  const machines = planMachines(matrix, values.only)
  if (values.list) return print(machines.flatMap(({ tests }) => tests.map(({ id }) => `${id}\n`)).join(''))
  const kept = new KeptFiles(values.output && resolve(values.output))
  if (!reports.write(matrix.file, unfinishedResults(machines), 0, EXIT_HARNESS)) return EXIT_HARNESS
  // What a matrix means does not depend on where it is run from.
  process.chdir(dirname(matrix.file))
  const preparing = { defaults: projectDefaults(values), signal, onMessage: sayOnce() }
  const jobs = await prepareJobs(machines, preparing)
  if (values['dry-run']) return print(await describeJobs(jobs))
  kept.prepare(machines)
  await prepareKernels(jobs, preparing)
  const start = performance.now()
  const results = await run(matrix, jobs, { values, kept, preparing })
  const tests = results.flatMap(result => result.tests)
  const exitCode = interruptedBy(signal) ?? matrixExitCode(plannedTests(machines), tests)
  const durationMs = performance.now() - start
  const { passed, failed, notRun } = totals(tests)
  print(tapComment(`${passed} passed, ${failed} failed, ${notRun} not run in ${showTime(durationMs)}`))
  return reports.write(matrix.file, results, durationMs, exitCode) ? exitCode : EXIT_HARNESS
})

interface Surroundings {
  readonly values: Values
  readonly kept: KeptFiles
  readonly preparing: PrepareOptions
}

/** Runs it, and shows each result as it comes. */
function run(
  matrix: MatrixFile,
  jobs: readonly MachineJob[],
  { values, kept, preparing }: Surroundings,
): Promise<MachineResult[]> {
  const { signal, onMessage } = preparing
  const budget = hostBudget({ jobs: values.jobs, memoryMiB: values['memory-budget'] })
  warnOfBudget(jobs, budget)
  // Each session listens for signals that it passes on.
  process.setMaxListeners(0)
  let count = 0
  print(tapStart(plannedTests(jobs.map(({ planned }) => planned))))
  return runMatrix(jobs, {
    budget,
    timeoutMs: values.timeout ?? matrix.timeoutMs,
    failFast: values['fail-fast'],
    kept,
    signal,
    onMessage: (machine, line) => onMessage(line, machine),
    onStage: (machine, stage, ms) => values.v && say(`${machine}: ${stage}: ${Math.round(ms)} ms`),
    onResult: result => print(tapResult(++count, result)),
    onMachine: result => print(tapComment(machineLine(result))),
  })
}

function isRun(values: Values): boolean {
  return !values.list && !values['dry-run']
}

function matrixOperand(operands: readonly string[]): string {
  const [file, unexpected] = operands
  if (file === undefined) throw new UsageError('no file is named', 'for example: cpu-vm test matrix.toml')
  if (unexpected !== undefined) throw new UsageError(`unexpected operand ${JSON.stringify(unexpected)}`)
  return file
}

function plannedTests(machines: readonly PlannedMachine[]): number {
  return machines.flatMap(({ tests }) => tests).length
}

function projectDefaults({ v }: Values): PrepareOptions['defaults'] {
  const project = findProject(RUN_FLAGS)
  if (project !== undefined && v) say(`defaults are from ${project.file}`)
  return withProject(RUN_FLAGS, parseFlags(RUN_FLAGS, []), project).values
}

/** What is chosen for one machine is mostly chosen for all. */
function sayOnce(): PrepareOptions['onMessage'] {
  const said = new Set<string>()
  return (line, machine) => {
    if (said.has(line)) return
    said.add(line)
    say(machine === undefined ? line : `${machine}: ${line}`)
  }
}

function warnOfBudget(jobs: readonly MachineJob[], budget: Budget): void {
  for (const { planned, need, settings } of jobs) {
    if (need.memoryMiB > budget.memoryMiB)
      say(`${planned.id} wants ${settings.memoryMiB} MiB, more than there is: it runs when no other does`)
  }
}

/** As `cpu-vm run -dry-run`, for each machine. */
async function describeJobs(jobs: readonly MachineJob[]): Promise<string> {
  const texts = jobs.map(async ({ planned, options, tests }) => {
    const lines = tests.map(({ planned: { test } }) => quoteLine(['cpu', 'NAME', ...test.command]))
    return `# ${planned.id}\n${await describeMachine(options)}${lines.join('\n')}\n`
  })
  return (await Promise.all(texts)).join('\n')
}

function machineLine({ planned, machine, stages, flakes }: MachineResult): string {
  const boot = stages.find(({ stage }) => stage === 'boot')
  const fact =
    boot === undefined || machine === undefined
      ? 'has not booted'
      : `Linux ${machine.release}, ${machine.accelerator}, booted in ${showTime(boot.ms)}`
  return [`${planned.id}: ${fact}`, ...flakes.map(flake => `boot flake, tried again: ${flake}`)].join('; ')
}

function showTime(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

function interruptedBy({ aborted, reason }: AbortSignal): number | undefined {
  if (!aborted) return undefined
  return reason instanceof Interruption ? signalExitCode(constants.signals[reason.signal]) : EXIT_HARNESS
}
