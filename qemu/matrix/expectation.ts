// What a test expects, and whether it came so. Whatever is not expected is a failure, and whatever cannot be told too.

import { exitCodeOf, type KernelLog, type Outcome } from '../result.js'

/** Ends besides that of the command itself that a test may be about. */
export const EXPECTED_ENDS = ['panic', 'oops', 'kernel-warning', 'out-of-memory', 'power-off'] as const

export type ExpectedEnd = (typeof EXPECTED_ENDS)[number]

export interface Expectation {
  /** `exit`: the command ends with `exitCode`, 128+n for signal n. */
  readonly end: 'exit' | ExpectedEnd
  readonly exitCode: number
  /** In what the command says, and what the kernel says meanwhile. */
  readonly stdout: RegExp | undefined
  readonly stderr: RegExp | undefined
  readonly kernelLog: RegExp | undefined
}

export interface Output {
  readonly text: string
  /** The first bytes are missing: there were too many. */
  readonly isCut: boolean
}

/** What came of a test. */
export interface Observation {
  readonly outcome: Outcome
  /** The outcome in words. */
  readonly message: string
  readonly kernelLog: KernelLog
  readonly stdout: Output
  readonly stderr: Output
}

/** After these, nothing that the machine says can be relied on, or it is gone: each has a machine of its own. */
export function endsMachine(end: Expectation['end']): boolean {
  return end === 'panic' || end === 'oops' || end === 'power-off'
}

/** Why it is not as expected, in one line; undefined when it is. */
export function disappointment(expected: Expectation, seen: Observation): string | undefined {
  const { stdout, stderr, kernelLog } = expected
  return (
    unexpectedEnd(expected, seen) ??
    missing('stdout', stdout, seen.stdout) ??
    missing('stderr', stderr, seen.stderr) ??
    missing("the kernel's log", kernelLog, {
      text: seen.kernelLog.lines.join('\n'),
      isCut: seen.kernelLog.omitted > 0,
    })
  )
}

function unexpectedEnd(
  { end, exitCode }: Expectation,
  { outcome, message }: Observation,
): string | undefined {
  const isOwnEnd = outcome.kind === 'exit' || outcome.kind === 'signal'
  if (end === 'exit') {
    if (!isOwnEnd) return message
    const code = exitCodeOf(outcome)
    return code === exitCode ? undefined : `${message}, and ${exitCode} is expected`
  }
  return isExpectedEnd(end, outcome) ? undefined : `${message}, and ${end} is expected`
}

/** One at boot is none that the test has brought about. */
function isExpectedEnd(end: ExpectedEnd, outcome: Outcome): boolean {
  if (end === 'power-off') return outcome.kind === 'machine-died' && outcome.part === 'guest'
  return outcome.kind === end && !('phase' in outcome && outcome.phase === 'boot')
}

function missing(where: string, pattern: RegExp | undefined, { text, isCut }: Output): string | undefined {
  if (pattern === undefined || pattern.test(text)) return undefined
  const searched = isCut ? `, of which only a part was kept` : ''
  return `${where} has nothing that matches /${pattern.source}/${searched}`
}
