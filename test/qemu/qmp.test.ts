// Against a real QEMU, without a machine in it.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import path from 'node:path'
import t from 'tap'
import { QEMU } from '../../qemu/probe.js'
import { Qmp } from '../../qemu/qmp.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const socket = path.join(temporaryDirectory(t), 'qmp.sock')
const args = ['-machine', 'none', '-nodefaults', '-display', 'none', '-S']
const qemu = spawn(QEMU, [...args, '-qmp', `unix:${socket},server=on,wait=off`], { stdio: 'ignore' })
const ended = once(qemu, 'exit')
t.teardown(() => qemu.kill('SIGKILL'))

t.test('commands, what QEMU refuses, events', async t => {
  using qmp = await Qmp.open(socket, AbortSignal.timeout(60_000))
  const [status, version] = await Promise.all([qmp.execute('query-status'), qmp.execute('query-version')])
  t.match(status, { status: 'prelaunch' })
  t.match(version, { qemu: { major: Number } })
  await t.rejects(qmp.execute('migrate', { uri: 'nosuch:' }), {
    code: 'ERR_CPU_VM_QMP',
    message: /^QEMU refuses migrate: \S/,
  })
  const resumed = qmp.event('RESUME', () => true)
  await qmp.execute('cont')
  t.strictSame(await resumed, {})
})

t.test('an abort ends what is waited for', async t => {
  const controller = new AbortController()
  using qmp = await Qmp.open(socket, controller.signal)
  const never = qmp.event('NOSUCH', () => true)
  controller.abort(new Error('enough'))
  await t.rejects(never, { message: 'enough' })
  await t.rejects(qmp.execute('query-status'), { message: 'enough' })
})

t.test('so does what no QEMU says', async t => {
  const liar = path.join(temporaryDirectory(t), 'qmp.sock')
  const server = net.createServer(stream => stream.end('{"QMP":{}}\nnull\n'))
  t.teardown(() => server.close())
  await once(server.listen(liar), 'listening')
  await t.rejects(Qmp.open(liar, AbortSignal.timeout(60_000)), {
    code: 'ERR_CPU_VM_QMP',
    message: 'QEMU writes no JSON to its control socket (QMP)',
  })
})

t.test('so does the end of QEMU', async t => {
  using qmp = await Qmp.open(socket, AbortSignal.timeout(60_000))
  const never = qmp.event('NOSUCH', () => true)
  qemu.kill('SIGKILL')
  await t.rejects(never, { code: 'ERR_CPU_VM_QMP', message: 'QEMU has closed its control socket (QMP)' })
  await ended
  const closed = AbortSignal.timeout(200)
  await t.rejects(Qmp.open(socket, closed), { name: 'TimeoutError' })
})
