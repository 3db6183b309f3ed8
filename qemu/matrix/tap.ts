// The Test Anything Protocol, version 14 (testanything.org): the plan first, so that an end before the end is a
// failure; then each test as it ends, with what went wrong as YAML.

import type { TestResult } from './matrix-result.js'
import { outputLines } from './output-lines.js'

export function tapStart(count: number): string {
  return `TAP version 14\n1..${count}\n`
}

export function tapComment(text: string): string {
  return `# ${oneLine(text)}\n`
}

export function tapResult(number: number, result: TestResult): string {
  const { planned, status, durationMs } = result
  const line = `${status === 'passed' ? 'ok' : 'not ok'} ${number} - ${escapeDescription(planned.id)}\n`
  const facts = status === 'passed' ? { duration_ms: Math.round(durationMs) } : diagnostics(result)
  return line + yamlBlock(facts)
}

function diagnostics(result: TestResult): Record<string, unknown> {
  const { status, reason, outcome, durationMs, stdout, stderr, kernelLog, console, repeat } = result
  if (status === 'not-run') return { message: reason, repeat }
  const isOwnEnd = outcome?.kind === 'exit' || outcome?.kind === 'signal'
  return {
    message: reason,
    outcome: outcome?.kind,
    duration_ms: Math.round(durationMs),
    stdout: outputLines(stdout),
    stderr: outputLines(stderr),
    kernel_log: kernelLog.lines.slice(-SHOWN_LINES),
    // What the guest says to the end of a command is in its log already.
    console: isOwnEnd ? [] : console.slice(-SHOWN_LINES),
    repeat,
  }
}

const SHOWN_LINES = 20

/** Scalars and lists of them; JSON's strings are YAML's. */
function yamlBlock(facts: Readonly<Record<string, unknown>>): string {
  const lines = Object.entries(facts).flatMap(([key, value]) => {
    if (value === undefined || (Array.isArray(value) && value.length === 0)) return []
    if (!Array.isArray(value)) return [`${key}: ${scalar(value)}`]
    return [`${key}:`, ...value.map(item => `  - ${scalar(item)}`)]
  })
  return ['---', ...lines, '...'].map(line => `  ${line}\n`).join('')
}

/** YAML 1.2, 5.1: what is not printable must be escaped, of which JSON does only a part. */
function scalar(value: unknown): string {
  const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  return JSON.stringify(value).replace(/[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]/g, escaped)
}

/** A `#` would begin a directive, such as SKIP. */
function escapeDescription(text: string): string {
  return oneLine(text).replace(/[\\#]/g, '\\$&')
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ')
}
