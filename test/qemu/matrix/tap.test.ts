import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { tapComment, tapResult, tapStart } from '../../../qemu/matrix/tap.js'
import { packageRoot } from '../../../src/version.js'
import { AWKWARD, testResult } from './results.js'

const PARSER = join(packageRoot(), 'node_modules/.bin/tap-parser')

const parse = (tap: string) => {
  const { status, stdout } = spawnSync(process.execPath, [PARSER, '-t', '-f', '-j'], { input: tap })
  return { status, events: JSON.parse(stdout.toString()) as [string, Record<string, unknown>][] }
}

t.test('a test that passes, and one that does not', async t => {
  t.equal(tapStart(2), 'TAP version 14\n1..2\n')
  t.equal(tapResult(1, testResult('boots')), 'ok 1 - 6.1/boots\n  ---\n  duration_ms: 1234\n  ...\n')
  const failed = testResult('fails', {
    status: 'failed',
    reason: 'the command ended with exit code 3, and 0 is expected',
    outcome: { kind: 'exit', exitCode: 3 },
    stdout: { text: 'one\ntwo\n', isCut: false },
    console: ['not shown'],
  })
  t.equal(
    tapResult(2, failed),
    `not ok 2 - 6.1/fails
  ---
  message: "the command ended with exit code 3, and 0 is expected"
  outcome: "exit"
  duration_ms: 1234
  stdout:
    - "one"
    - "two"
  repeat: "cpu-vm run -- true"
  ...
`,
  )
})

t.test('a parser of TAP sees what is meant, whatever is said', async t => {
  const text =
    tapStart(AWKWARD.length) + AWKWARD.map((result, index) => tapResult(index + 1, result)).join('')
  const { events } = parse(`${text}${tapComment('the end\nok 9')}`)
  const asserts = events.filter(([event]) => event === 'assert').map(([, assert]) => assert)
  t.strictSame(
    asserts.map(({ ok, name, skip, todo }) => [ok, name, skip ?? false, todo ?? false]),
    [
      [true, '6.1/passes', false, false],
      [false, '6.1/fails # SKIP \\ "<&>', false, false],
      [false, '6.1/panics', false, false],
      [false, '6.1/never', false, false],
      [false, '6.1/no QEMU', false, false],
    ],
  )
  t.match(asserts[1]?.['diag'], {
    message: /^exit code 3,\nnot 0/,
    stdout: ['(more before)', 'bold]]>', '---', '...', 'ok 1\x85\u2028x'],
    stderr: ['ü \u{1f600} \uffff'],
  })
  t.match(asserts[2]?.['diag'], { console: [/Kernel panic/], kernel_log: [/Kernel panic/] })
  const complete = events.find(([event]) => event === 'complete')?.[1]
  t.match(complete, { count: 5, pass: 1, fail: 4, ok: false, bailout: false })
})

t.test('an end before the end is a failure', async t => {
  const { status } = parse(tapStart(2) + tapResult(1, testResult('boots')))
  t.not(status, 0)
})
