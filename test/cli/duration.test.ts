import t from 'tap'
import { formatDuration, parseDuration } from '../../src/cli/duration.js'

t.test('Go duration syntax, in milliseconds', async t => {
  for (const [text, milliseconds] of [
    ['10s', 10_000],
    ['250ms', 250],
    ['1m30s', 90_000],
    ['1h', 3_600_000],
    ['1.5h', 5_400_000],
    ['.5s', 500],
    ['1.s', 1_000],
    ['1.1s', 1_100],
    ['500us', 0.5],
    ['500µs', 0.5],
    ['500μs', 0.5],
    ['1ns', 0.000001],
    ['0', 0],
    ['+2s', 2_000],
    ['-2s', -2_000],
  ] as const)
    t.equal(parseDuration(text), milliseconds, text)
})

t.test('what is no duration', async t => {
  for (const text of ['', '10', 's', '10x', '10 s', '1m30', '--1s', '1s2', '.s', '1e3s', 'ten'])
    t.equal(parseDuration(text), undefined, JSON.stringify(text))
})

t.test('formatting is read back', async t => {
  for (const [milliseconds, text] of [
    [0, '0s'],
    [250, '250ms'],
    [10_000, '10s'],
    [90_000, '1m30s'],
    [1_500, '1.5s'],
    [3_600_000, '1h'],
    [5_403_000, '1h30m3s'],
    [-2_000, '-2s'],
  ] as const) {
    t.equal(formatDuration(milliseconds), text)
    t.equal(parseDuration(text), milliseconds)
  }
})
