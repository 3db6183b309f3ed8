// Results of tests that were never run, for the tests of reports.

import type { MatrixTest } from '../../../qemu/matrix/matrix-file.js'
import type { MachineResult, TestResult } from '../../../qemu/matrix/matrix-result.js'
import { NO_KERNEL_LOG } from '../../../qemu/result.js'

export function testResult(name: string, result: Partial<TestResult> = {}): TestResult {
  const test: MatrixTest = {
    name,
    command: ['true'],
    fresh: false,
    expected: { end: 'exit', exitCode: 0, stdout: undefined, stderr: undefined, kernelLog: undefined },
    flags: {},
    kernels: undefined,
    configurations: undefined,
  }
  return {
    planned: { id: `6.1/${name}`, test },
    status: 'passed',
    reason: undefined,
    durationMs: 1234,
    outcome: { kind: 'exit', exitCode: 0 },
    stdout: { text: '', isCut: false },
    stderr: { text: '', isCut: false },
    kernelLog: NO_KERNEL_LOG,
    console: [],
    repeat: 'cpu-vm run -- true',
    ...result,
  }
}

export function machineResult(tests: readonly TestResult[]): MachineResult {
  return {
    planned: {
      id: '6.1',
      kernel: { name: '6.1', flags: {}, debian: undefined },
      flags: {},
      tests: tests.map(({ planned }) => planned),
    },
    startedAt: '2026-11-21T12:00:00.000Z',
    durationMs: 5000,
    machine: { name: 'm1', kernel: '/boot/vmlinuz', release: '6.1.0', accelerator: 'tcg', restored: false },
    flakes: [],
    stages: [],
    tests,
  }
}

/** One of each kind, with everything that formats have trouble with. */
export const AWKWARD = [
  testResult('passes', { stdout: { text: 'said & done\n', isCut: false } }),
  testResult('fails # SKIP \\ "<&>', {
    status: 'failed',
    reason: 'exit code 3,\nnot 0 "<&>\t\x1b[31mred\x1b[0m \x00\ud800',
    outcome: { kind: 'exit', exitCode: 3 },
    stdout: { text: '\x1b[1mbold\x1b[0m]]>\r\n---\n...\nok 1\x85\u2028x', isCut: true },
    stderr: { text: 'ü \u{1f600} \uffff', isCut: false },
  }),
  testResult('panics', {
    status: 'failed',
    reason: "the guest's kernel panicked",
    outcome: { kind: 'panic', phase: 'command' },
    kernelLog: { ...NO_KERNEL_LOG, source: 'console', lines: ['Kernel panic - not syncing: x'] },
    console: ['[    1.0] Kernel panic - not syncing: x'],
  }),
  testResult('never', { status: 'not-run', reason: 'not run: the machine died', outcome: undefined }),
  testResult('no QEMU', {
    status: 'failed',
    reason: 'qemu-system-x86_64: not found',
    outcome: { kind: 'harness-error', code: 'ERR_CPU_VM_QEMU' },
  }),
]
