// How a run ended, as one record. There is no run without one: what cannot be told is a failure. run.ts makes it,
// `-result FILE` writes it.

import { constants } from 'node:os'
import { EXIT_HARNESS, EXIT_USAGE, signalExitCode } from '../src/cli/exit-codes.js'
import type { KernelLogReport } from '../src/cpud/guest-control.js'
import type { ProgramEnd } from '../src/ssh/program-end.js'
import type { Accelerator } from './devices.js'
import { type Finding, type FindingKind, findings } from './kernel-findings.js'
import type { MachineEnd } from './machine-end.js'

/** Whether it happened while the guest booted, or later. */
export type Phase = 'boot' | 'command'

/** What of a machine has ended. */
export type MachinePart = Exclude<MachineEnd['kind'], 'stopped' | 'panic'>

export type Outcome =
  /** The command ended by itself. */
  | { readonly kind: 'exit'; readonly exitCode: number }
  | { readonly kind: 'signal'; readonly signal: NodeJS.Signals }
  /** The guest's kernel gave up. */
  | { readonly kind: 'panic'; readonly phase: Phase }
  /** The guest's kernel found a bug in itself, whatever became of the command. */
  | { readonly kind: 'oops'; readonly phase: Phase; readonly command: ProgramEnd }
  /** As an oops, where warnings are to count. */
  | { readonly kind: 'kernel-warning'; readonly phase: Phase; readonly command: ProgramEnd }
  /** The guest's kernel killed the command for want of memory. */
  | { readonly kind: 'out-of-memory'; readonly command: ProgramEnd }
  | { readonly kind: 'boot-failed'; readonly code: string }
  | { readonly kind: 'boot-timed-out' }
  | { readonly kind: 'command-timed-out'; readonly limitMs: number; readonly guestAnswers: boolean }
  /** QEMU or a daemon that it needs ended, or the guest switched itself off, before the command had ended. */
  | { readonly kind: 'machine-died'; readonly part: MachinePart }
  /** The machine runs, and how the command ended cannot be known. */
  | { readonly kind: 'transport-lost'; readonly guestAnswers: boolean }
  | { readonly kind: 'interrupted'; readonly signal: NodeJS.Signals }
  | { readonly kind: 'harness-error'; readonly code: string | undefined }

/** What the guest's kernel logged while the command ran. */
export interface KernelLog {
  /** Warnings and worse, oldest first. */
  readonly lines: readonly string[]
  /** How many more there were. */
  readonly omitted: number
  /** `guest`: all of it, as its own log has it. `console`: what came that far, from a guest that could not be asked. */
  readonly source: 'guest' | 'console' | 'none'
  readonly findings: readonly Finding[]
}

export interface Stage {
  readonly stage: string
  readonly ms: number
}

export interface RunRecord {
  /** Of this format. */
  readonly version: 1
  readonly outcome: Outcome
  /** One line: the outcome in words. */
  readonly message: string
  /** Of cpu-vm. */
  readonly exitCode: number
  readonly command: readonly string[]
  /** For a shell: does the same once more, with the same kernel. */
  readonly repeat: string
  /** ISO 8601. */
  readonly startedAt: string
  readonly machine:
    | {
        readonly name: string
        readonly kernel: string
        readonly release: string
        readonly accelerator: Accelerator
        /** Whether it went on from a snapshot, and was not booted. */
        readonly restored: boolean
      }
    | undefined
  /** The name of a machine that is left, as asked for. */
  readonly kept: string | undefined
  /** Boots that failed before the guest spoke, and were tried once more. */
  readonly flakes: readonly string[]
  readonly stages: readonly Stage[]
  readonly kernelLog: KernelLog
  /** The last lines of the console, oldest first. */
  readonly console: readonly string[]
}

/** Which words of the kernel make a failure of a command that succeeded. */
export interface FailOn {
  readonly oops: boolean
  readonly warning: boolean
}

export interface Judgement {
  readonly outcome: Outcome
  readonly message: string
}

export const NO_KERNEL_LOG: KernelLog = { lines: [], omitted: 0, source: 'none', findings: [] }

export function exitCodeOf(outcome: Outcome): number {
  switch (outcome.kind) {
    case 'exit':
      return outcome.exitCode
    case 'signal':
    case 'interrupted':
      return signalExitCode(constants.signals[outcome.signal])
    case 'harness-error':
      return outcome.code === 'ERR_CPU_USAGE' ? EXIT_USAGE : EXIT_HARNESS
    default:
      return EXIT_HARNESS
  }
}

/** What the guest itself reports. */
export function kernelLogOf(report: KernelLogReport): KernelLog {
  const found = findings(report.lines)
  const { before, now } = report.taints
  // The log is a ring: what came first may be gone, but a kernel that has died is tainted until its end.
  if ((now & ~before & TAINT_DIE) !== 0 && !found.some(({ kind }) => kind === 'oops'))
    found.push({ kind: 'oops', text: 'the kernel is tainted by an oops that its log no longer has' })
  const omitted = report.omitted + (report.overrun ? 1 : 0)
  return { lines: report.lines, omitted, source: 'guest', findings: found }
}

/** include/linux/panic.h: 1 << TAINT_DIE */
const TAINT_DIE = 1 << 7

/** A command that ended, in the light of what the kernel said at boot and meanwhile. */
export function judge(
  command: ProgramEnd,
  bootFindings: readonly Finding[],
  { findings: found }: KernelLog,
  failOn: FailOn,
): Judgement {
  const { exitCode, signal } = command
  const how = signal === undefined ? `ended with exit code ${exitCode}` : `was ended by ${signal}`
  const first = (kind: FindingKind): { phase: Phase; told: string } | undefined => {
    const [later, atBoot] = [found, bootFindings].map(list => list.find(finding => finding.kind === kind))
    if (later !== undefined)
      return { phase: 'command', told: `during the command, which ${how}: ${later.text}` }
    return atBoot && { phase: 'boot', told: `at boot, and the command ${how}: ${atBoot.text}` }
  }
  const oops = failOn.oops ? first('oops') : undefined
  if (oops !== undefined) {
    const outcome = { kind: 'oops', phase: oops.phase, command } as const
    return { outcome, message: `the guest's kernel oopsed ${oops.told}` }
  }
  const kill = wasKilled(command) ? found.find(({ kind }) => kind === 'out-of-memory') : undefined
  if (kill !== undefined) {
    const message = `the guest has too little memory for the command: ${kill.text} (give it more with -memory)`
    return { outcome: { kind: 'out-of-memory', command }, message }
  }
  const warning = failOn.warning ? first('warning') : undefined
  if (warning !== undefined) {
    const outcome = { kind: 'kernel-warning', phase: warning.phase, command } as const
    return { outcome, message: `the guest's kernel warned ${warning.told}` }
  }
  const outcome: Outcome = signal === undefined ? { kind: 'exit', exitCode } : { kind: 'signal', signal }
  return { outcome, message: `the command ${how}` }
}

/** The command itself, its shell's last child, or the process that holds its session together. */
function wasKilled({ exitCode, signal }: ProgramEnd): boolean {
  return signal === 'SIGKILL' || exitCode === signalExitCode(constants.signals.SIGKILL) || exitCode === 255
}
