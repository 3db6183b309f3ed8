import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import {
  endProcesses,
  identifyProcess,
  isAlive,
  signalProcess,
  waitForEnd,
} from '../../qemu/process-identity.js'

t.test('a process is itself until it ends', async t => {
  const child = spawn('sleep', ['1000'])
  const identity = identifyProcess(child.pid!)!
  t.ok(isAlive(identity))
  t.notOk(await waitForEnd([identity], 0))
  const ended = once(child, 'exit')
  await endProcesses([identity])
  t.strictSame(await ended, [null, 'SIGTERM'])
  t.notOk(isAlive(identity))
})

t.test('one that ignores SIGTERM is killed', async t => {
  // What is ignored stays ignored across exec.
  const child = spawn('sh', ['-c', 'trap "" TERM; echo up; exec sleep 1000'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout!, 'data')
  const ended = once(child, 'exit')
  await endProcesses([identifyProcess(child.pid!)!], 100)
  t.strictSame(await ended, [null, 'SIGKILL'])
})

t.test('another process with its pid is left alone', async t => {
  const child = spawn('sleep', ['1000'])
  const recycled = { pid: child.pid!, startTime: '1' }
  t.notOk(isAlive(recycled))
  signalProcess(recycled, 'SIGKILL')
  await endProcesses([recycled])
  t.equal(child.exitCode, null)
  t.ok(identifyProcess(child.pid!))
  child.kill()
  await once(child, 'exit')
})

t.test('no process', t => {
  t.equal(identifyProcess(2 ** 30), undefined)
  t.end()
})
