// A command in a machine of which more is to be said than how it ended by itself.

import { CpuError } from '../src/errors.js'
import { END_CODES } from './machine-error.js'
import type { KernelLog, Outcome } from './result.js'
import type { Verdict } from './verdict.js'

export type CommandErrorCode =
  | 'ERR_CPU_VM_COMMAND_FAILED'
  | 'ERR_CPU_VM_COMMAND_TIMEOUT'
  | 'ERR_CPU_VM_OOPS'
  | 'ERR_CPU_VM_WARNING'
  | 'ERR_CPU_VM_MEMORY'
  | 'ERR_CPU_VM_PANIC'
  | 'ERR_CPU_VM_QEMU'
  | 'ERR_CPU_VM_SHARE'
  | 'ERR_CPU_VM_VSOCK'
  | 'ERR_CPU_VM_EXITED'
  | 'ERR_CPU_VM_TRANSPORT'

/** What a command wrote until then, where that was kept. */
export interface CommandOutput<Text extends string | Buffer = string | Buffer> {
  readonly stdout: Text
  readonly stderr: Text
}

export class CommandError extends CpuError {
  override readonly name = 'CommandError'
  declare readonly code: CommandErrorCode
  /** The whole of it, as in docs/run-record.md. */
  readonly outcome: Outcome
  readonly kernelLog: KernelLog
  /** The last lines of the console, oldest first, at most 100. */
  readonly console: readonly string[]
  /** Of a command that was run rather than spawned. */
  readonly output: CommandOutput | undefined

  constructor(code: CommandErrorCode, verdict: Verdict, output?: CommandOutput) {
    super(code, verdict.message)
    this.outcome = verdict.outcome
    this.kernelLog = verdict.kernelLog
    this.console = verdict.console
    this.output = output
  }
}

export function commandErrorCode(outcome: Outcome): CommandErrorCode {
  switch (outcome.kind) {
    case 'oops':
      return 'ERR_CPU_VM_OOPS'
    case 'kernel-warning':
      return 'ERR_CPU_VM_WARNING'
    case 'out-of-memory':
      return 'ERR_CPU_VM_MEMORY'
    case 'panic':
      return 'ERR_CPU_VM_PANIC'
    case 'command-timed-out':
      return 'ERR_CPU_VM_COMMAND_TIMEOUT'
    case 'machine-died':
      return END_CODES[outcome.part]
    case 'transport-lost':
      return 'ERR_CPU_VM_TRANSPORT'
    default:
      return 'ERR_CPU_VM_COMMAND_FAILED'
  }
}
