// What came of a matrix: of each test exactly one result. tap.ts, junit.ts and json-report.ts write it down.

import { EXIT_HARNESS } from '../../src/cli/exit-codes.js'
import { type KernelLog, NO_KERNEL_LOG, type Outcome, type RunRecord, type Stage } from '../result.js'
import type { Output } from './expectation.js'
import type { PlannedMachine, PlannedTest } from './plan.js'

export interface TestResult {
  readonly planned: PlannedTest
  /** `not-run` is no success either. */
  readonly status: 'passed' | 'failed' | 'not-run'
  /** Why it has not passed, in one line. */
  readonly reason: string | undefined
  readonly durationMs: number
  /** Undefined for what was not run. */
  readonly outcome: Outcome | undefined
  readonly stdout: Output
  readonly stderr: Output
  readonly kernelLog: KernelLog
  /** The last lines of the console, oldest first. */
  readonly console: readonly string[]
  /** For a shell: does the same once more, in a machine of its own. Undefined until that is known. */
  readonly repeat: string | undefined
}

export interface MachineResult {
  readonly planned: PlannedMachine
  /** ISO 8601. */
  readonly startedAt: string
  readonly durationMs: number
  /** Undefined when it was not decided. */
  readonly machine: RunRecord['machine']
  readonly flakes: readonly string[]
  readonly stages: readonly Stage[]
  readonly tests: readonly TestResult[]
}

const NOTHING: Output = { text: '', isCut: false }
const EXIT_FAILED = 1

export function notRun(planned: PlannedTest, reason: string, repeat?: string): TestResult {
  return {
    planned,
    status: 'not-run',
    reason: `not run: ${reason}`,
    durationMs: 0,
    outcome: undefined,
    stdout: NOTHING,
    stderr: NOTHING,
    kernelLog: NO_KERNEL_LOG,
    console: [],
    repeat,
  }
}

export interface Totals {
  readonly tests: number
  readonly passed: number
  readonly failed: number
  readonly notRun: number
}

export function totals(results: readonly TestResult[]): Totals {
  const count = (status: TestResult['status']) => results.filter(result => result.status === status).length
  return {
    tests: results.length,
    passed: count('passed'),
    failed: count('failed'),
    notRun: count('not-run'),
  }
}

/** 0 only where every one of the `planned` tests has passed. */
export function matrixExitCode(planned: number, results: readonly TestResult[]): number {
  if (results.some(({ outcome }) => outcome?.kind === 'harness-error')) return EXIT_HARNESS
  if (planned === 0 || results.length !== planned) return EXIT_HARNESS
  return totals(results).passed === planned ? 0 : EXIT_FAILED
}
