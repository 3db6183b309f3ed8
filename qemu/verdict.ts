// A command in a machine to its end: what the session, the machine and its kernel say of it, as one judgement. For run.ts,
// the matrix and machine-command.ts.

import { setTimeout as sleep } from 'node:timers/promises'
import { describeError } from '../src/cli/main.js'
import { CpuError } from '../src/errors.js'
import type { ProgramEnd } from '../src/ssh/program-end.js'
import { consoleLines } from './console-log.js'
import { type Finding, findings } from './kernel-findings.js'
import type { Machine } from './machine.js'
import { machineFiles } from './machine-directory.js'
import type { MachineEnd } from './machine-end.js'
import { MachineError } from './machine-error.js'
import { type FailOn, type Judgement, judge, type KernelLog, kernelLogOf, type Outcome } from './result.js'

/** What has to be known of a machine to judge what happens in it. */
export type WatchedMachine = Pick<Machine, 'name' | 'directory' | 'exited' | 'kernelLog'>

/** One command in a machine. */
export interface CommandOptions {
  /** Runs the command in the machine of that name. Throws CpuError when it cannot be told how it ended. */
  readonly execute: (name: string, signal: AbortSignal) => Promise<ProgramEnd>
  /** For the command. */
  readonly timeoutMs: number | undefined
  readonly failOn: FailOn
  /** Its reason is an Interruption, when a signal is the cause. */
  readonly signal: AbortSignal
}

/** Why everything is to end. */
export class Interruption extends Error {
  readonly signal: NodeJS.Signals

  constructor(signal: NodeJS.Signals) {
    super(`interrupted by ${signal}`)
    this.signal = signal
  }
}

const CONSOLE_LINES = 100
/** A guest that is emulated and busy may take its time to tell its log. */
const REPORT_LIMIT_MS = 30_000
/** For one that is in doubt. */
const ANSWER_LIMIT_MS = 5_000
/** A machine that dies breaks the connection first. */
const DEATH_LIMIT_MS = 2_000

export interface Verdict extends Judgement {
  readonly kernelLog: KernelLog
  readonly console: readonly string[]
}

/** What is thrown instead of a verdict. */
export function judgeError(error: unknown, { signal }: Pick<CommandOptions, 'signal'>): Judgement {
  if (signal.aborted) return judgeAbort(signal)
  return { outcome: errorOutcome(error), message: describeError(error) }
}

function judgeAbort({ reason }: AbortSignal): Judgement {
  const outcome: Outcome =
    reason instanceof Interruption
      ? { kind: 'interrupted', signal: reason.signal }
      : { kind: 'harness-error', code: undefined }
  return { outcome, message: describeError(reason) }
}

function errorOutcome(error: unknown): Outcome {
  if (!(error instanceof MachineError))
    return { kind: 'harness-error', code: error instanceof CpuError ? error.code : undefined }
  if (error.code === 'ERR_CPU_VM_PANIC') return { kind: 'panic', phase: 'boot' }
  if (error.code === 'ERR_CPU_VM_TIMEOUT') return { kind: 'boot-timed-out' }
  return { kind: 'boot-failed', code: error.code }
}

type Ending =
  | { readonly how: 'ended'; readonly command: ProgramEnd }
  | { readonly how: 'lost'; readonly error: unknown }
  | { readonly how: 'died'; readonly end: MachineEnd }
  | { readonly how: 'timed-out' }

/**
 * The command, and what the machine says of itself when that is over in one way or another. `atBoot` is what the kernel
 * has said before the machine's first command.
 */
export async function runIn(
  machine: WatchedMachine,
  options: CommandOptions,
  atBoot: readonly Finding[] = consoleFindings(machine),
): Promise<Verdict> {
  const { console: consoleFile } = machineFiles(machine.directory)
  const before = consoleLines(consoleFile).length
  const consoleLog = (): KernelLog => {
    const lines = consoleLines(consoleFile).slice(before)
    return { lines, omitted: 0, source: 'console', findings: findings(lines) }
  }
  const verdict = (judgement: Judgement, kernelLog = consoleLog()): Verdict => {
    return { ...judgement, kernelLog, console: consoleLines(consoleFile).slice(-CONSOLE_LINES) }
  }
  const ending = await firstEnding(machine, options)
  if (options.signal.aborted) return verdict(judgeAbort(options.signal))
  if (ending.how === 'died') return verdict(judgeDeath(ending.end))
  const limitMs = ending.how === 'ended' ? REPORT_LIMIT_MS : ANSWER_LIMIT_MS
  const answer = await answerOrDeath(machine, limitMs)
  if (answer !== undefined && 'message' in answer) return verdict(judgeDeath(answer))
  const kernelLog = answer === undefined ? undefined : kernelLogOf(answer)
  if (ending.how === 'ended' && kernelLog !== undefined)
    return verdict(judge(ending.command, atBoot, kernelLog, options.failOn), kernelLog)
  const { outcome, message } = judgeLoss(ending, kernelLog !== undefined, options)
  const known = kernelLog ?? consoleLog()
  // What is broken in the kernel is often why nothing ends.
  const cause = known.findings.find(({ kind }) => kind === 'oops' || kind === 'out-of-memory')
  const told = cause === undefined ? message : `${message}; its kernel logged: ${cause.text}`
  return verdict({ outcome, message: told }, known)
}

/** What is wrong so far. */
export function consoleFindings({ directory }: Pick<Machine, 'directory'>): Finding[] {
  return findings(consoleLines(machineFiles(directory).console))
}

/** Whatever comes first ends the session, too. */
async function firstEnding(machine: WatchedMachine, options: CommandOptions): Promise<Ending> {
  const over = new AbortController()
  const { timeoutMs } = options
  const endings: Promise<Ending>[] = [
    options.execute(machine.name, AbortSignal.any([options.signal, over.signal])).then(
      command => ({ how: 'ended', command }),
      error => ({ how: 'lost', error }),
    ),
    machine.exited.then(end => ({ how: 'died', end })),
  ]
  if (timeoutMs !== undefined) endings.push(sleep(timeoutMs, { how: 'timed-out' }, { signal: over.signal }))
  for (const ending of endings) ending.catch(() => undefined)
  try {
    return await Promise.race(endings)
  } finally {
    over.abort(new Error('the run is over'))
  }
}

/** What the guest's kernel logged; or its end; or undefined where it lives and does not answer. */
async function answerOrDeath(machine: WatchedMachine, limitMs: number) {
  const report = await Promise.race([machine.kernelLog(limitMs), machine.exited])
  if (report !== undefined) return report
  return Promise.race([machine.exited, sleep(DEATH_LIMIT_MS, undefined, { ref: false })])
}

function judgeDeath({ kind, message }: MachineEnd): Judgement {
  if (kind === 'panic') return { outcome: { kind: 'panic', phase: 'command' }, message }
  if (kind === 'stopped') {
    const stopped = 'the machine was stopped before the command had ended'
    return { outcome: { kind: 'machine-died', part: 'guest' }, message: stopped }
  }
  return { outcome: { kind: 'machine-died', part: kind }, message: `the machine died: ${message}` }
}

function judgeLoss(
  ending: Exclude<Ending, { how: 'died' }>,
  guestAnswers: boolean,
  { timeoutMs = 0 }: CommandOptions,
): Judgement {
  if (ending.how === 'timed-out') {
    const guest = guestAnswers ? 'the guest answers' : 'the guest hangs: it does not answer either'
    return {
      outcome: { kind: 'command-timed-out', limitMs: timeoutMs, guestAnswers },
      message: `the command has not ended after ${timeoutMs / 1000} s; ${guest} (give it more with -timeout)`,
    }
  }
  if (ending.how === 'lost' && !isTransportError(ending.error))
    return { outcome: errorOutcome(ending.error), message: describeError(ending.error) }
  const fact =
    ending.how === 'ended'
      ? `the command ended with exit code ${ending.command.exitCode}, and what the kernel logged cannot be known`
      : describeError(ending.error)
  const guest = guestAnswers ? 'the guest answers' : 'the guest hangs: it does not answer'
  return { outcome: { kind: 'transport-lost', guestAnswers }, message: `${fact}; ${guest}` }
}

/** As opposed to what the user asked for and cannot have. */
function isTransportError(error: unknown): boolean {
  return error instanceof CpuError && /^ERR_CPU_(SESSION|CONNECT|SSH|PROXY)$/.test(error.code)
}
