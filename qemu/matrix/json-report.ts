// The whole result as JSON, for programs.

import type { MachineResult, TestResult } from './matrix-result.js'
import { totals } from './matrix-result.js'

export function jsonReport(
  file: string,
  machines: readonly MachineResult[],
  durationMs: number,
  exitCode: number,
): string {
  const report = {
    /** Of this format. */
    version: 1,
    file,
    exitCode,
    durationMs: Math.round(durationMs),
    ...totals(machines.flatMap(({ tests }) => tests)),
    machines: machines.map(({ planned, tests, ...machine }) => ({
      id: planned.id,
      ...machine,
      durationMs: Math.round(machine.durationMs),
      tests: tests.map(describeTest),
    })),
  }
  return `${JSON.stringify(report, undefined, 2)}\n`
}

function describeTest({ planned, ...result }: TestResult) {
  const { id, test } = planned
  return {
    id,
    name: test.name,
    command: test.command,
    ...result,
    durationMs: Math.round(result.durationMs),
    stdout: result.stdout.text,
    stderr: result.stderr.text,
  }
}
