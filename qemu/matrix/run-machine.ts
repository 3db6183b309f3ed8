// One machine of a matrix: booted once, its tests one after the other. Whatever happens, each of them has a result.

import { Readable } from 'node:stream'
import { describeError } from '../../src/cli/main.js'
import { runSessionIn, type SessionFlags } from '../commands/session.js'
import type { Finding } from '../kernel-findings.js'
import { freeName, type Machine, startMachine } from '../machine.js'
import { MachineError } from '../machine-error.js'
import { type FailOn, NO_KERNEL_LOG, type Stage } from '../result.js'
import type { MachineOptions, Settings } from '../settings.js'
import { consoleFindings, judgeError, runIn, type Verdict } from '../verdict.js'
import type { Need } from './budget.js'
import { CapturedOutput, lastPart } from './captured-output.js'
import { disappointment } from './expectation.js'
import type { KeptFiles } from './kept-files.js'
import { type MachineResult, notRun, type TestResult } from './matrix-result.js'
import type { PlannedMachine, PlannedTest } from './plan.js'

export interface TestJob {
  readonly planned: PlannedTest
  readonly session: SessionFlags
  readonly timeoutMs: number
  readonly failOn: FailOn
  readonly repeat: string
}

export interface MachineJob {
  readonly planned: PlannedMachine
  readonly options: MachineOptions
  readonly settings: Settings
  readonly need: Need
  readonly tests: readonly TestJob[]
}

export interface Surroundings {
  /** Ends everything; its reason says why. */
  readonly signal: AbortSignal
  readonly kept: KeptFiles
  readonly onMessage: (line: string) => void
  readonly onStage: (stage: string, ms: number) => void
  readonly onResult: (result: TestResult) => void
}

/** Never throws. The machine is gone when it resolves. */
export async function runMachine(job: MachineJob, around: Surroundings): Promise<MachineResult> {
  const run = new MachineRun(job, around)
  await run.toTheEnd()
  return run.result()
}

class MachineRun {
  readonly #job: MachineJob
  readonly #around: Surroundings
  readonly #startedAt = new Date().toISOString()
  readonly #start = performance.now()
  readonly #stages: Stage[] = []
  readonly #flakes: string[] = []
  readonly #results: TestResult[] = []
  readonly #name = freeName()
  #machine: Machine | undefined

  constructor(job: MachineJob, around: Surroundings) {
    this.#job = job
    this.#around = around
  }

  result(): MachineResult {
    const { planned, settings } = this.#job
    return {
      planned,
      startedAt: this.#startedAt,
      durationMs: performance.now() - this.#start,
      machine: {
        name: this.#name,
        kernel: settings.kernel.image,
        release: settings.kernel.release,
        accelerator: this.#machine?.accelerator ?? settings.accelerator,
        restored: this.#machine?.restored ?? false,
      },
      flakes: this.#flakes,
      stages: this.#stages,
      tests: this.#results,
    }
  }

  async toTheEnd(): Promise<void> {
    try {
      await this.#boot()
      await this.#runTests()
    } catch (error) {
      this.#fail(error)
    } finally {
      await this.#stop()
    }
  }

  async #boot(): Promise<void> {
    const { signal, onMessage, onStage } = this.#around
    signal.throwIfAborted()
    this.#machine = await startMachine({
      ...this.#job.options,
      name: this.#name,
      signal,
      onMessage,
      onStage: (stage, ms) => {
        this.#stages.push({ stage, ms: Math.round(ms) })
        onStage(stage, ms)
      },
      onFlake: reason => this.#flakes.push(reason),
      onFailed: directory => this.#keepFiles(directory),
    })
  }

  async #runTests(): Promise<void> {
    const machine = this.#machine!
    const atBoot = consoleFindings(machine)
    for (const test of this.#job.tests) {
      const verdict = await this.#runTest(machine, test, atBoot)
      this.#around.signal.throwIfAborted()
      if (!isLost(verdict, test.failOn)) continue
      const { name } = test.planned.test
      this.#giveUp(`there is no machine to rely on since ${JSON.stringify(name)}: ${verdict.message}`)
      return
    }
  }

  async #runTest(machine: Machine, test: TestJob, atBoot: readonly Finding[]): Promise<Verdict> {
    const { signal, kept } = this.#around
    const { planned, session, timeoutMs, failOn, repeat } = test
    const files = kept.output(this.#job.planned, planned)
    using stdout = new CapturedOutput(files.stdout)
    using stderr = new CapturedOutput(files.stderr)
    const start = performance.now()
    const streams = { stdin: Readable.from([]), stdout, stderr, terminal: false }
    // A test that lacks a mount may well succeed.
    const { root } = this.#job.settings
    const strictness = { fstab: true, directory: root === undefined || root.hostPath === '/' }
    const execute = (name: string, over: AbortSignal) =>
      runSessionIn(name, session, planned.test.command, { ...streams, strictness, signal: over })
    const verdict = await runIn(machine, { execute, timeoutMs, failOn, signal }, atBoot)
    if (signal.aborted) return verdict
    const seen = { ...verdict, stdout: stdout.output, stderr: stderr.output }
    const reason = disappointment(planned.test.expected, seen)
    const { outcome, kernelLog, console } = verdict
    this.#add({
      planned,
      status: reason === undefined ? 'passed' : 'failed',
      reason,
      durationMs: performance.now() - start,
      outcome,
      stdout: lastPart(seen.stdout),
      stderr: lastPart(seen.stderr),
      kernelLog,
      console,
      repeat,
    })
    return verdict
  }

  /** What is thrown is the failure of the first test that has no result; the others have had no chance. */
  #fail(error: unknown): void {
    const { signal } = this.#around
    if (signal.aborted) return this.#giveUp(describeError(signal.reason))
    const test = this.#job.tests[this.#results.length]
    if (test === undefined) return
    const { outcome, message } = judgeError(error, this.#around)
    const console = error instanceof MachineError ? error.consoleTail : []
    const none = notRun(test.planned, message, test.repeat)
    this.#add({ ...none, status: 'failed', reason: message, outcome, console, kernelLog: NO_KERNEL_LOG })
    this.#giveUp(message)
  }

  #giveUp(reason: string): void {
    for (const { planned, repeat } of this.#job.tests.slice(this.#results.length))
      this.#add(notRun(planned, reason, repeat))
  }

  #add(result: TestResult): void {
    this.#results.push(result)
    this.#around.onResult(result)
  }

  async #stop(): Promise<void> {
    const machine = this.#machine
    if (machine === undefined) return
    this.#keepFiles(machine.directory)
    await machine.close().catch(error => this.#around.onMessage(`cannot stop it: ${describeError(error)}`))
  }

  #keepFiles(directory: string): void {
    try {
      this.#around.kept.keep(this.#job.planned, directory)
    } catch (error) {
      this.#around.onMessage(`cannot keep its console: ${describeError(error)}`)
    }
  }
}

/** Whether the machine is gone, or nothing that it says from now on can be relied on. */
function isLost({ outcome, kernelLog }: Verdict, failOn: FailOn): boolean {
  if (failOn.oops && kernelLog.findings.some(({ kind }) => kind === 'oops')) return true
  switch (outcome.kind) {
    case 'exit':
    case 'signal':
    case 'kernel-warning':
    case 'out-of-memory':
      return false
    case 'command-timed-out':
    case 'transport-lost':
      return !outcome.guestAnswers
    default:
      return true
  }
}
