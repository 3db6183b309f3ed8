// A peer that falls silent without closing anything, as one does whose cable is cut. Found out by keepalives, which
// takes most of a minute.
import { once } from 'node:events'
import t from 'tap'
import { collect, cpu, eventually, startCpu } from '../fixtures/cpu-command.js'
import { startCpud } from '../fixtures/local-cpud.js'

t.jobs = 2

const LIMIT_MS = 180_000

t.test('what a silent client started is ended', { buffered: true }, async t => {
  const target = await startCpud(t, 'unix')
  const child = startCpu(target, ['sh', '-c', 'echo $$; exec sleep 1000'])
  const [pid] = await once(child.stdout!, 'data')
  child.kill('SIGSTOP')
  t.teardown(() => child.kill('SIGKILL'))
  t.ok(await eventually(() => !isAlive(Number(pid)), LIMIT_MS), 'the program is gone')
  t.equal((await cpu(target, ['echo', 'on'])).stdout.toString(), 'on\n', 'others are served on')
})

t.test('a client does not wait for a silent server', { buffered: true }, async t => {
  const target = await startCpud(t, 'unix')
  const child = startCpu(target, ['sh', '-c', 'echo ready; exec sleep 1000'])
  const result = collect(child, { timeoutMs: LIMIT_MS })
  await once(child.stdout!, 'data')
  target.daemon.kill('SIGSTOP')
  t.teardown(() => target.daemon.kill('SIGKILL'))
  const { code, stderr } = await result
  t.equal(code, 255)
  t.equal(stderr, 'cpu: the connection was lost before the command ended\n')
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
