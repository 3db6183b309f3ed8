// Durations in the syntax of Go's time.ParseDuration: `10s`, `1m30s`, `250ms`, `1.5h`, `0`.

const MILLISECONDS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3, // U+00B5, micro sign
  μs: 1e-3, // U+03BC, Greek small letter mu
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
}

const TERM = /(\d+\.?\d*|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/gy

/** Milliseconds, exact to the nanosecond; undefined for text that is no duration (a bare number is none, but `0` is). */
export function parseDuration(text: string): number | undefined {
  const negative = text.startsWith('-')
  const terms = text.replace(/^[+-]/, '')
  if (terms === '0') return 0
  let total = 0
  let end = 0
  for (const match of terms.matchAll(TERM)) {
    total += Number(match[1]) * MILLISECONDS[match[2]!]!
    end = match.index + match[0].length
  }
  if (end === 0 || end !== terms.length) return undefined
  const milliseconds = Math.round(total * 1e6) / 1e6
  return negative ? -milliseconds : milliseconds
}

/** The shortest spelling that `parseDuration` reads back: `10s`, `1m30s`, `250ms`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 0) return `-${formatDuration(-milliseconds)}`
  if (milliseconds === 0) return '0s'
  if (milliseconds < 1_000) return `${milliseconds}ms`
  const hours = Math.floor(milliseconds / 3_600_000)
  const minutes = Math.floor((milliseconds % 3_600_000) / 60_000)
  const seconds = Math.round((milliseconds % 60_000) * 1e6) / 1e9
  return `${hours > 0 ? `${hours}h` : ''}${minutes > 0 ? `${minutes}m` : ''}${seconds > 0 ? `${seconds}s` : ''}`
}
