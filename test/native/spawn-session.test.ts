// The session around a program: its plan, its mount namespace, and the end of all its processes.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { MS_BIND } from '../../src/linux/mount.js'
import type { MountStep, OnFailure, Step } from '../../src/namespace/plan.js'
import { isSupervisor } from '../../src/native/spawn.js'
import { processesWith, run, runToEnd, until } from '../fixtures/run-program.js'

const folder = mkdtempSync(join(tmpdir(), 'session-'))
t.teardown(() => rmSync(folder, { recursive: true }))

const mkdir = (path: string, onFailure: OnFailure = 'abort'): Step => ({
  op: 'mkdir',
  path,
  mode: 0o751,
  onFailure,
  origin: 'test',
})

const tmpfs = (target: string, change: Partial<MountStep> = {}): Step => ({
  op: 'mount',
  source: 'test',
  target,
  type: 'tmpfs',
  flags: 0,
  data: 'size=1m',
  onFailure: 'abort',
  origin: 'test',
  ...change,
})

const openDescriptors = () => readdirSync('/proc/self/fd').length

t.test('steps: mounts are seen inside, not outside, and gone afterwards', async t => {
  const at = join(folder, 'a/b')
  const steps: Step[] = [
    mkdir(at),
    tmpfs(at),
    mkdir(join(at, 'deep/er')),
    { op: 'touch', path: join(at, 'deep/file'), onFailure: 'abort', origin: 'test' },
    { op: 'touch', path: '/dev/null', onFailure: 'abort', origin: 'test' },
  ]
  const script = `cd ${at}; stat -f -c %T .; stat -c %a deep/er; find . -type f; readlink /proc/$$/ns/mnt`
  const { output, outcome } = await runToEnd(script, { steps, mountNamespace: true })
  t.strictSame(outcome, { code: 0 })
  const [type, mode, file, namespace] = output.split('\n')
  t.strictSame([type, mode, file], ['tmpfs', '751', './deep/file'])
  t.not(namespace, readlinkSync('/proc/self/ns/mnt'))
  t.notMatch(readFileSync('/proc/self/mounts', 'latin1'), at)
  t.strictSame(readdirSync(at), [], 'nothing was written to the directory below')
})

t.test('a file is bound to a file, which stands where a directory would be made', async t => {
  const [here, there] = [join(folder, 'here'), join(folder, 'there')]
  writeFileSync(here, 'bound')
  writeFileSync(there, 'covered')
  const bind = tmpfs(there, { source: here, type: '', flags: MS_BIND })
  const { output, failedSteps } = await runToEnd(`cat ${there}`, {
    steps: [mkdir(there), bind],
    mountNamespace: true,
  })
  t.strictSame([output, failedSteps], ['bound', []])
})

t.test('a failed step: reported and gone on, ignored, or the end', async t => {
  const missing = join(folder, 'missing')
  const steps = [
    tmpfs(missing, { source: 'home', type: 'nosuchfs', onFailure: 'report' }),
    tmpfs(missing, { onFailure: 'ignore' }),
    mkdir('/proc/nothing', 'report'),
  ].map((step, index) => ({ ...step, origin: `fstab:${index + 1}` }))
  const reported = await runToEnd('echo on', { steps, mountNamespace: true })
  t.strictSame(reported.outcome, { code: 0 })
  t.equal(reported.output, 'on\n')
  t.strictSame(
    reported.failedSteps.map(({ step, message }) => [steps.indexOf(step), message]),
    [
      [0, `ENOENT: no such file or directory, mount home on ${missing} type nosuchfs`],
      [2, 'ENOENT: no such file or directory, mkdir /proc/nothing'],
    ],
  )
  const line = { origin: 'fstab:1' }
  const grouped = [
    tmpfs(missing, { ...line, onFailure: 'report' }),
    { ...mkdir(missing, 'report'), ...line },
    mkdir(join(folder, 'd'), 'report'),
  ]
  const skipped = await runToEnd(`ls ${folder}`, { steps: grouped, mountNamespace: true })
  t.notMatch(skipped.output, 'missing', 'what the same line asks for besides is left out')
  t.match(skipped.output, /^d$/m)
  const aborting = [mkdir(join(folder, 'c')), tmpfs(missing)]
  const aborted = await runToEnd('echo on', { steps: aborting, mountNamespace: true })
  t.match(aborted.outcome, { stage: 'step', exitCode: 125, step: aborting[1], error: { code: 'ENOENT' } })
  t.equal(aborted.output, '')
})

t.test('a program that fails ends its session by itself', async t => {
  const { outcome, ended, program } = run(['/nope'], { mountNamespace: true })
  t.match(await outcome, { stage: 'exec' })
  t.equal(await ended, 0)
  await program.end()
})

t.test('what failed is told also when the end was asked for before it was known', async t => {
  const { program, outcome } = run('true', { mountNamespace: true, fuseDevice: '/dev/nothing' })
  process.kill(program.supervisorPid, 'SIGSTOP')
  const ended = program.end()
  process.kill(program.supervisorPid, 'SIGCONT')
  // It ends without reading that, and is not listened to before: the socket then has an error before its messages.
  const state = () => readFileSync(`/proc/${program.supervisorPid}/stat`, 'latin1').replace(/.*\) /s, '')[0]
  while (state() !== 'Z');
  t.match(await outcome, { stage: 'fuse', error: { code: 'ERR_CPU_SPAWN_FUSE' } })
  await ended
})

t.test('the namespace outlives the program until the end', async t => {
  const { program, outcome } = run('exit 5', { mountNamespace: true, steps: [tmpfs('/mnt')] })
  t.strictSame(await outcome, { code: 5 })
  const mounts = `/proc/${program.supervisorPid}/mounts`
  t.match(readFileSync(mounts, 'latin1'), 'test /mnt tmpfs')
  t.ok(isSupervisor(program.supervisorPid))
  await program.end()
  t.notOk(existsSync(mounts), 'the supervisor is reaped')
  t.notOk(isSupervisor(program.supervisorPid))
})

t.test('what the program wrote is synced before its end is told', async t => {
  const options = { mountNamespace: true, steps: [tmpfs('/mnt')] }
  t.strictSame((await runToEnd('exit 1', { ...options, syncPath: '/mnt' })).outcome, { code: 1 })
  const { outcome } = await runToEnd('exit 1', { ...options, syncPath: '/mnt/missing' })
  t.match(outcome, { code: 1, problem: { code: 'ENOENT', syscall: 'syncfs' } })
})

t.test('end kills everything, however it hides', async t => {
  const script = `
    trap "" TERM HUP INT
    (setsid sh -c '(setsid sleep 1000 &) ; sleep 1000' &)
    setsid setsid sleep 1000 &
    sh -c 'kill -STOP $$' &
    exec sleep 1000`
  const { program, outcome, marker, ended, output } = run(script, { mountNamespace: true })
  await until(() => processesWith(marker).length >= 6)
  program.signal('SIGTERM')
  await program.end()
  t.strictSame(await outcome, { signal: 'SIGKILL' })
  t.equal(await ended, 0)
  t.strictSame(processesWith(marker), [])
  t.equal((await output).toString(), '')
})

t.test('processes that keep forking are killed', async t => {
  const restart = 'while :; do sh -c "sleep 0.01" & sleep 0.005; done'
  const { program, marker } = run(restart)
  await until(() => processesWith(marker).length >= 3)
  await program.end()
  t.strictSame(processesWith(marker), [])
})

t.test('a step that hangs is ended', async t => {
  const at = join(folder, 'hanging')
  const steps = [
    mkdir(at),
    // No one ever answers on this connection.
    tmpfs(at, { type: 'fuse', data: 'fd=%9P%,rootmode=40000,user_id=0,group_id=0' }),
    mkdir(join(at, 'x')),
  ]
  const { program, outcome, ended } = run('true', {
    mountNamespace: true,
    steps,
    fileConnectionFd: openSync('/dev/fuse', 'r+'),
  })
  await until(() => readFileSync(`/proc/${program.supervisorPid}/mounts`, 'latin1').includes(at))
  await program.end()
  t.strictSame(await outcome, { signal: 'SIGKILL' })
  t.equal(await ended, 0)
})

t.test('a supervisor that is killed takes the program with it, and that is told', async t => {
  const { program, outcome, ended, marker } = run('sleep 1000 & sleep 1000')
  await until(() => processesWith(marker).length >= 3)
  process.kill(program.supervisorPid, 'SIGKILL')
  t.match(await outcome, { signal: 'SIGKILL', problem: { code: 'ERR_CPU_SPAWN_SUPERVISOR' } })
  await ended
  await until(() => processesWith(marker).length === 0)
})

t.test('a supervisor outlives signals to its group', async t => {
  const { program, outcome } = run('sleep 0.2; exit 7')
  await once(program, 'started')
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1'] as const) {
    process.kill(program.supervisorPid, signal)
  }
  t.strictSame(await outcome, { code: 7 })
  await program.end()
})

t.test('twenty sessions at once, and no descriptor is left', async t => {
  await runToEnd('true')
  const before = openDescriptors()
  const runs = Array.from({ length: 20 }, (_, i) =>
    runToEnd(`echo ${i} > /mnt/own; cat /mnt/*; exit ${i}`, { mountNamespace: true, steps: [tmpfs('/mnt')] }),
  )
  for (const [i, { output, outcome }] of (await Promise.all(runs)).entries()) {
    t.strictSame([output, outcome], [`${i}\n`, { code: i }])
  }
  t.equal(openDescriptors(), before)
})

t.test('when cpud is killed, everything is', async t => {
  const fixture = fileURLToPath(new URL('../fixtures/spawn-and-wait.js', import.meta.url))
  const daemon = spawn(process.execPath, [fixture], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(createInterface(daemon.stdout), 'line')
  const { supervisor, marker } = JSON.parse(line) as { supervisor: number; marker: string }
  await until(() => processesWith(marker).length >= 4)
  const namespace = readlinkSync(`/proc/${supervisor}/ns/mnt`)
  daemon.kill('SIGKILL')
  await until(() => !existsSync(`/proc/${supervisor}/ns/mnt`))
  t.strictSame(processesWith(marker), [])
  t.strictSame(processesIn(namespace), [])
})

t.test('works in a worker', async t => {
  const url = new URL('../fixtures/run-program.js', import.meta.url).href
  const worker = new Worker(
    `import(${JSON.stringify(url)}).then(async ({ run, runToEnd }) => {
      const { parentPort } = await import('node:worker_threads')
      parentPort.postMessage((await runToEnd('exit 9')).outcome)
      run('sleep 1000').program.on('started', () => parentPort.postMessage('started'))
    })`,
    { eval: true },
  )
  const [outcome] = await once(worker, 'message')
  t.strictSame(outcome, { code: 9 })
  await once(worker, 'message')
  t.equal(await worker.terminate(), 1, 'with a session still running')
})

function processesIn(namespace: string): string[] {
  return readdirSync('/proc').filter(pid => {
    try {
      return readlinkSync(`/proc/${pid}/ns/mnt`) === namespace
    } catch {
      return false
    }
  })
}
