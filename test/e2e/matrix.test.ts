// cpu-vm test on real guests: every way in which a test can end, and what is made of it.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { listMachines } from '../../qemu/machine-directory.js'
import { collect, eventually } from '../fixtures/cpu-command.js'
import { cpuVm, startCpuVm } from '../fixtures/cpu-vm-command.js'
import { matrixTest } from '../fixtures/matrix-text.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'
import { privateRuntime } from '../qemu/private-runtime.js'
import { realKernel } from '../qemu/real-kernel.js'

const MACHINE = '[machine]\nmemory = 512\n[kernels]\nlinux = { debian = "amd64" }\n'

const good = (name: string, command: string | readonly string[], ...keys: string[]) =>
  matrixTest(name, command, 'configurations = ["good"]', ...keys)

const ENDS = [
  MACHINE,
  // one panics before any test
  '[configurations]\ngood = {}\nbroken = { append = "rdinit=/nosuch" }\n',
  good('passes', 'cat mine.txt; uname -r', "stdout = '^a file of mine$'"),
  good('fails', 'echo to stdout; echo to stderr >&2; exit 3'),
  good('wrong exit code', 'exit 3', 'exit-code = 4'),
  good('right exit code', 'exit 3', 'exit-code = 3'),
  good('wrong output', ['echo', 'a <b> & c'], 'stdout = "^b"'),
  good('too slow', 'sleep 1000', 'timeout = "2s"'),
  good('no mount', 'true', 'fstab = "bad.fstab"'),
  good('is killed', 'echo started > started; sleep 1000'),
  good('never runs', 'true'),
  matrixTest(
    'panic',
    'echo c > /proc/sysrq-trigger',
    'expect = "panic"',
    'kernel-log = "sysrq triggered crash"',
  ),
].join('')

interface Line {
  readonly ok: boolean
  readonly id: string
  readonly message: string | undefined
}

/** The test points of TAP, by their ids. */
function tapLines(tap: string): Map<string, Line> {
  const points = [...tap.matchAll(/^(ok|not ok) \d+ - (.*)\n {2}---\n(?: {2}message: (.*)\n)?/gm)]
  return new Map(
    points.map(([, word, id = '', message]) => [
      id,
      { ok: word === 'ok', id, message: message === undefined ? undefined : JSON.parse(message) },
    ]),
  )
}

t.before(async () => {
  await realKernel()
})

t.test('each way in which a test can end', async t => {
  privateRuntime(t)
  const directory = temporaryDirectory(t)
  writeFileSync(join(directory, 'matrix.toml'), ENDS)
  writeFileSync(join(directory, 'mine.txt'), 'a file of mine\n')
  writeFileSync(join(directory, 'bad.fstab'), 'nosuch /mnt virtiofs ro 0 0\n')
  const files = ['-junit', 'junit.xml', '-json', 'result.json', '-output', 'kept']
  const child = startCpuVm(['test', '-jobs', '1', ...files, 'matrix.toml'], { cwd: directory })
  const end = collect(child, { input: '' })
  t.ok(await eventually(() => existsSync(join(directory, 'started')), 240_000))
  const [running] = listMachines()
  process.kill(running!.state.qemu!.pid, 'SIGKILL')
  const { code, stdout, stderr } = await end
  t.comment(stderr)
  t.equal(code, 1)

  const tap = stdout.toString()
  t.match(tap, /^TAP version 14\n1\.\.11\n/)
  const lines = tapLines(tap)
  t.equal(lines.size, 11)
  t.strictSame(
    [...lines.values()].filter(({ ok }) => ok).map(({ id }) => id),
    ['linux/good/passes', 'linux/good/right exit code', 'linux/good/panic'],
  )
  const message = (name: string) => lines.get(`linux/${name}`)?.message
  t.match(message('good/fails'), /ended with exit code 3, and 0 is expected/)
  t.match(message('good/wrong exit code'), /ended with exit code 3, and 4 is expected/)
  t.match(message('good/wrong output'), 'stdout has nothing that matches /^b/')
  t.match(message('good/too slow'), /has not ended after 2 s; the guest answers/)
  t.match(message('good/no mount'), /exit code|fstab/)
  t.match(message('good/is killed'), 'the machine died: QEMU was killed by SIGKILL')
  t.match(
    message('good/never runs'),
    'not run: there is no machine to rely on since "is killed": the machine died: QEMU was killed by SIGKILL',
  )
  t.match(message('broken/panic'), /kernel panicked/, 'one at boot is not what was expected')
  t.match(tap, /^# 3 passed, 7 failed, 1 not run in/m)

  const junit = readFileSync(join(directory, 'junit.xml'), 'utf8')
  t.match(junit, '<testsuites name="matrix.toml" tests="11" failures="7" errors="1"')
  t.match(junit, '<testsuite name="linux/good" tests="9" failures="6" errors="1"')
  t.match(
    junit,
    /<testcase name="passes" classname="linux\/good" time="[\d.]+">\n<system-out>a file of mine\n6\./,
  )
  t.match(junit, '<system-out>a &lt;b&gt; &amp; c</system-out>')
  t.match(junit, /<failure type="machine-died" message="the machine died: QEMU was killed by SIGKILL">/)

  const report = JSON.parse(readFileSync(join(directory, 'result.json'), 'utf8'))
  t.match(report, { version: 1, exitCode: 1, tests: 11, passed: 3, failed: 7, notRun: 1 })
  const fails = report.machines[0].tests[1]
  t.match(fails, { stdout: 'to stdout\n', stderr: /to stderr/, outcome: { kind: 'exit', exitCode: 3 } })
  t.match(fails.repeat, /^cd \S+ && cpu-vm run '?-kernel=.*-memory=512.* -- sh -c 'echo to stdout/)

  const kept = (name: string) => readFileSync(join(directory, 'kept/linux', name), 'utf8')
  t.equal(kept('good/fails.stdout'), 'to stdout\n')
  t.match(kept('good/panic/console.log'), 'sysrq triggered crash')
  t.match(kept('broken/panic/console.log'), 'Kernel panic')
  t.match(kept('good/qemu.log'), 'qemu-system')
  t.strictSame(listMachines(), [], 'nothing is left')
})

t.test('-fail-fast, a project file, and a directory that is not that of the matrix', async t => {
  privateRuntime(t)
  const directory = temporaryDirectory(t)
  mkdirSync(join(directory, 'ci'))
  writeFileSync(join(directory, 'cpu-vm.toml'), 'memory = 448\n')
  writeFileSync(
    join(directory, 'ci/matrix.toml'),
    [
      '[kernels]\nlinux = { debian = "amd64" }\n[configurations]\none = {}\ntwo = {}\n',
      matrixTest('where', 'pwd; grep MemTotal /proc/meminfo', "stdout = 'MemTotal: +[34]\\d{5} kB'"),
      matrixTest('fails', 'exit 1'),
      matrixTest('later'),
    ].join(''),
  )
  const args = ['test', '-v', '-jobs', '1', '-fail-fast', '-json', 'r.json', 'ci/matrix.toml']
  const { code, stdout, stderr } = await cpuVm(args, { cwd: directory })
  t.comment(stderr)
  t.equal(code, 1)
  const lines = tapLines(stdout.toString())
  t.strictSame(
    [...lines.values()].map(({ ok, id, message }) => [ok, id, message ?? '']),
    [
      [true, 'one/where', ''],
      [false, 'one/fails', 'the command ended with exit code 1, and 0 is expected'],
      ...['one/later', 'two/where', 'two/fails', 'two/later'].map(id => [
        false,
        id,
        'not run: linux/one/fails has failed (-fail-fast)',
      ]),
    ].map(([ok, id, message]) => [ok, `linux/${id}`, message]),
  )
  t.match(stderr, `defaults are from ${join(directory, 'cpu-vm.toml')}`)
  t.match(stderr, /^cpu-vm: linux\/one: boot: \d+ ms$/m)
  const report = JSON.parse(readFileSync(join(directory, 'r.json'), 'utf8'))
  t.match(report.machines[0].tests[0].stdout, `${join(directory, 'ci')}\n`)
})

t.test('the time of all of it is over, and an interruption', async t => {
  privateRuntime(t)
  const directory = temporaryDirectory(t)
  const test = matrixTest('waits', 'touch started; sleep 1000')
  writeFileSync(join(directory, 'short.toml'), `timeout = "100ms"\n${MACHINE}${test}`)
  writeFileSync(join(directory, 'long.toml'), `${MACHINE}${test}`)
  const late = await cpuVm(['test', '-junit', 'junit.xml', 'short.toml'], { cwd: directory })
  t.equal(late.code, 1)
  t.match(late.stdout.toString(), /not run: the matrix has not ended after 100ms/)
  t.match(readFileSync(join(directory, 'junit.xml'), 'utf8'), 'errors="1"')

  const child = startCpuVm(['test', '-junit', 'junit.xml', 'long.toml'], { cwd: directory })
  const end = collect(child, { input: '' })
  t.ok(await eventually(() => existsSync(join(directory, 'started')), 240_000))
  t.match(readFileSync(join(directory, 'junit.xml'), 'utf8'), 'cpu-vm test has not ended, or was killed')
  child.kill('SIGINT')
  const { code, stdout } = await end
  t.equal(code, 130)
  t.match(stdout.toString(), /not ok 1 - linux\/waits\n {2}---\n {2}message: "not run: interrupted by SIGINT/)
  t.strictSame(listMachines(), [], 'nothing is left')
})

t.test('what is wrong before any machine starts', async t => {
  privateRuntime(t)
  const directory = temporaryDirectory(t)
  const run = async (text: string, ...flags: string[]) => {
    writeFileSync(join(directory, 'matrix.toml'), text)
    const { code, stdout, stderr } = await cpuVm(['test', ...flags, 'matrix.toml'], { cwd: directory })
    t.equal(stdout.toString(), '', 'no test has begun')
    return [code, stderr.trimEnd().split('\n').at(-1)]
  }
  const test = matrixTest()
  t.strictSame(await run(''), [2, 'cpu-vm: matrix.toml:1: there are no tests (write at least one [[test]])'])
  t.strictSame(await run(`[kernels]\nx = { kernel = "nosuch" }\n${test}`), [
    125,
    'cpu-vm: no kernel nosuch: no such file, nor in the cache or /boot (cpu-vm kernel shows those that there are)',
  ])
  t.match(await run(`${MACHINE}${test}`, '-only', 'u'), [2, /no test of matrix.toml matches -only u/])
  t.match(await run(`${MACHINE}${test}namespace = "relative"\n`), [2, /namespace/])
  t.match(await run(`[machine]\nshare = ["x=nosuch"]\n${test}`), [2, /no such directory to share: .*nosuch/])
  t.match(await run(`[machine]\nnet = "none"\n${test}`), [2, /no test gets into machine with net = "none"/])
  t.match(await run(`${MACHINE}${test}`, '-junit', '/nosuch/x.xml'), [125, /cannot write \/nosuch\/x\.xml/])
  t.match(await run(`${MACHINE}${test}`, '-output', '/dev/null/x'), [2, /cannot write to \/dev\/null\/x/])
  t.equal((await cpuVm(['test', 'nosuch.toml'], { cwd: directory })).code, 2)
  t.equal((await cpuVm(['test'], { cwd: directory })).code, 2)
})
