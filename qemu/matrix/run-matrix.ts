// All machines of a matrix, at a time as many as there is room for, until all have ended, the time is over, or the first
// test has failed where that is to be the end.

import { setMaxListeners } from 'node:events'
import { formatDuration } from '../../src/cli/duration.js'
import { type Budget, runWithin } from './budget.js'
import type { KeptFiles } from './kept-files.js'
import { type MachineResult, notRun, type TestResult } from './matrix-result.js'
import type { PlannedMachine } from './plan.js'
import { type MachineJob, runMachine } from './run-machine.js'

export interface RunMatrixOptions {
  readonly budget: Budget
  /** For all of it. */
  readonly timeoutMs: number | undefined
  readonly failFast: boolean
  readonly kept: KeptFiles
  readonly signal: AbortSignal
  readonly onMessage: (machine: string, line: string) => void
  readonly onStage: (machine: string, stage: string, ms: number) => void
  readonly onResult: (result: TestResult) => void
  readonly onMachine: (result: MachineResult) => void
}

/** Never throws. In the order of the jobs. */
export async function runMatrix(
  jobs: readonly MachineJob[],
  options: RunMatrixOptions,
): Promise<MachineResult[]> {
  const { budget, timeoutMs, failFast, kept, onMessage, onStage } = options
  const over = new AbortController()
  const signal = AbortSignal.any([options.signal, over.signal])
  // Each machine listens to it.
  setMaxListeners(0, signal)
  const tooLate = () =>
    over.abort(new Error(`the matrix has not ended after ${formatDuration(timeoutMs ?? 0)}`))
  const timer = timeoutMs === undefined ? undefined : setTimeout(tooLate, timeoutMs)
  const results = new Map<MachineJob, MachineResult>()
  try {
    await runWithin(budget, jobs, async job => {
      const { id } = job.planned
      const result = await runMachine(job, {
        signal,
        kept,
        onMessage: line => onMessage(id, line),
        onStage: (stage, ms) => onStage(id, stage, ms),
        onResult(test) {
          options.onResult(test)
          if (failFast && test.status === 'failed')
            over.abort(new Error(`${test.planned.id} has failed (-fail-fast)`))
        },
      })
      results.set(job, result)
      options.onMachine(result)
    })
  } finally {
    clearTimeout(timer)
  }
  return jobs.map(job => results.get(job)!)
}

/** Every test as one that has not been run, for the time until it has. */
export function unfinishedResults(machines: readonly PlannedMachine[]): MachineResult[] {
  return machines.map(planned => ({
    planned,
    startedAt: new Date().toISOString(),
    durationMs: 0,
    machine: undefined,
    flakes: [],
    stages: [],
    tests: planned.tests.map(test => notRun(test, 'cpu-vm test has not ended, or was killed')),
  }))
}
