import t from 'tap'
import { disappointment, type Expectation, type Observation } from '../../../qemu/matrix/expectation.js'
import { matrixExitCode } from '../../../qemu/matrix/matrix-result.js'
import { NO_KERNEL_LOG, type Outcome } from '../../../qemu/result.js'
import { AWKWARD, testResult } from './results.js'

const expectation = (expected: Partial<Expectation>): Expectation => ({
  end: 'exit',
  exitCode: 0,
  stdout: undefined,
  stderr: undefined,
  kernelLog: undefined,
  ...expected,
})

const seen = (outcome: Outcome, more: Partial<Observation> = {}): Observation => ({
  outcome,
  message: 'it ended so',
  kernelLog: NO_KERNEL_LOG,
  stdout: { text: '', isCut: false },
  stderr: { text: '', isCut: false },
  ...more,
})

const command = { exitCode: 0 }
const OUTCOMES: Outcome[] = [
  { kind: 'exit', exitCode: 0 },
  { kind: 'exit', exitCode: 1 },
  { kind: 'signal', signal: 'SIGSEGV' },
  { kind: 'panic', phase: 'boot' },
  { kind: 'panic', phase: 'command' },
  { kind: 'oops', phase: 'boot', command },
  { kind: 'oops', phase: 'command', command },
  { kind: 'kernel-warning', phase: 'command', command },
  { kind: 'out-of-memory', command },
  { kind: 'boot-failed', code: 'ERR_CPU_VM_GUEST' },
  { kind: 'boot-timed-out' },
  { kind: 'command-timed-out', limitMs: 1, guestAnswers: true },
  { kind: 'machine-died', part: 'qemu' },
  { kind: 'machine-died', part: 'virtiofsd' },
  { kind: 'machine-died', part: 'guest' },
  { kind: 'transport-lost', guestAnswers: true },
  { kind: 'interrupted', signal: 'SIGINT' },
  { kind: 'harness-error', code: undefined },
]

/** Those that satisfy an expectation. */
const satisfied = (expected: Partial<Expectation>) =>
  OUTCOMES.filter(outcome => disappointment(expectation(expected), seen(outcome)) === undefined)

t.test('each expectation is met by one end, and by no other', async t => {
  t.strictSame(satisfied({}), [{ kind: 'exit', exitCode: 0 }])
  t.strictSame(satisfied({ exitCode: 1 }), [{ kind: 'exit', exitCode: 1 }])
  t.strictSame(satisfied({ exitCode: 139 }), [{ kind: 'signal', signal: 'SIGSEGV' }])
  t.strictSame(satisfied({ exitCode: 125 }), [], 'which is what lost machines exit with')
  t.strictSame(satisfied({ end: 'panic' }), [{ kind: 'panic', phase: 'command' }])
  t.strictSame(satisfied({ end: 'oops' }), [{ kind: 'oops', phase: 'command', command }])
  t.strictSame(satisfied({ end: 'kernel-warning' }), [{ kind: 'kernel-warning', phase: 'command', command }])
  t.strictSame(satisfied({ end: 'out-of-memory' }), [{ kind: 'out-of-memory', command }])
  t.strictSame(satisfied({ end: 'power-off' }), [{ kind: 'machine-died', part: 'guest' }])
})

t.test('what is said must match', async t => {
  const fine: Outcome = { kind: 'exit', exitCode: 0 }
  const stdout = { text: 'one\ntwo\n', isCut: false }
  t.equal(disappointment(expectation({ stdout: /^two$/m }), seen(fine, { stdout })), undefined)
  t.equal(
    disappointment(expectation({ stdout: /three/m }), seen(fine, { stdout })),
    'stdout has nothing that matches /three/',
  )
  t.match(
    disappointment(expectation({ stdout: /three/m }), seen(fine, { stdout: { ...stdout, isCut: true } })),
    /of which only a part was kept/,
  )
  t.match(disappointment(expectation({ stderr: /two/m }), seen(fine, { stdout })), /^stderr has nothing/)
  const kernelLog = { ...NO_KERNEL_LOG, lines: ['sysrq: Trigger a crash'] }
  const panic: Outcome = { kind: 'panic', phase: 'command' }
  const expected = expectation({ end: 'panic', kernelLog: /Trigger a crash/m })
  t.equal(disappointment(expected, seen(panic, { kernelLog })), undefined)
  t.match(disappointment(expected, seen(panic)), /the kernel's log has nothing/)
})

t.test('the end is told before what was said', async t => {
  t.equal(
    disappointment(expectation({ exitCode: 3, stdout: /x/ }), seen({ kind: 'exit', exitCode: 1 })),
    'it ended so, and 3 is expected',
  )
  t.equal(disappointment(expectation({}), seen({ kind: 'boot-timed-out' })), 'it ended so')
  t.equal(
    disappointment(expectation({ end: 'panic' }), seen({ kind: 'exit', exitCode: 0 })),
    'it ended so, and panic is expected',
  )
})

t.test('0 only where every planned test has passed', async t => {
  const passed = testResult('a')
  const failed = testResult('b', { status: 'failed' })
  const never = testResult('c', { status: 'not-run', outcome: undefined })
  t.equal(matrixExitCode(2, [passed, passed]), 0)
  t.equal(matrixExitCode(2, [passed, failed]), 1)
  t.equal(matrixExitCode(2, [passed, never]), 1)
  t.equal(matrixExitCode(2, [passed]), 125, 'a result is missing')
  t.equal(matrixExitCode(0, []), 125, 'nothing was tested')
  t.equal(matrixExitCode(5, AWKWARD), 125, 'the harness failed')
})
