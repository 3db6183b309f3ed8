import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { parseGuestConfig } from '../../src/cpud/guest-config.js'
import { GuestControl, type GuestRequest, parseGuestRequest } from '../../src/cpud/guest-control.js'
import { openKernelLog } from '../../src/cpud/init-log.js'
import { systemMounts } from '../../src/cpud/init-mounts.js'
import { parseInitRequest } from '../../src/cpud/initctl.js'
import { FdStream, socketPair } from '../../src/native/fd-stream.js'
import { openPty } from '../../src/native/pty.js'
import { makeRaw } from '../../src/native/system.js'
import { runToEnd } from '../fixtures/run-program.js'

const full = {
  listen: [
    { net: 'tcp', port: 17010 },
    { net: 'vsock', port: 4_000_000_000 },
    { net: 'serial', name: 'org.cpu-harness' },
  ],
  modules: ['/lib/modules/vsock.ko'],
  network: { address: '10.0.2.15', prefix: 24, gateway: '10.0.2.2', nameservers: ['10.0.2.3'] },
  control: '/dev/ttyS1',
  root: { type: 'virtiofs', tag: 'cpu-root' },
}

t.test('a guest configuration is what the launcher wrote', async t => {
  t.strictSame(parseGuestConfig(JSON.stringify(full)), full)
  const { network: _network, root: _root, ...least } = full
  t.strictSame(parseGuestConfig(JSON.stringify(least)), least)
})

t.test('errors in a guest configuration name the field', async t => {
  const cases: [change: object, message: string][] = [
    [{ listen: {} }, 'listen must be a list'],
    [{ listen: [{ net: 'udp', port: 1 }] }, 'listen[0].net must be "tcp", "vsock" or "serial"'],
    [{ listen: [{ net: 'serial', port: 1 }] }, 'listen[0].port must be absent for serial'],
    [{ listen: [{ net: 'tcp', port: 65536 }] }, 'listen[0].port must be an integer from 1 to 65535'],
    [{ listen: [{ net: 'vsock', port: '1' }] }, 'listen[0].port must be an integer from 1 to 4294967294'],
    [{ modules: ['/a.ko', 'b.ko'] }, 'modules[1] must be an absolute path'],
    [{ network: [] }, 'network must be an object'],
    [{ network: { address: '1.2.3.4', prefix: 33 } }, 'network.prefix must be an integer from 0 to 32'],
    [{ network: { address: '1.2.3.4', prefix: 3, dns: '' } }, 'network.dns must be absent (unknown field)'],
    [{ control: 'ttyS1' }, 'control must be an absolute path'],
    [{ root: { type: 'nfs', tag: 'a' } }, 'root.type must be "virtiofs" or "9p"'],
    [{ control: undefined }, 'control must be a string'],
    [{ hostKey: 'in an image it would be no secret' }, 'hostKey must be absent (unknown field)'],
  ]
  for (const [change, message] of cases) {
    t.throws(() => parseGuestConfig(JSON.stringify({ ...full, ...change })), {
      code: 'ERR_CPU_GUEST_CONFIG',
      message: `guest configuration: ${message}`,
    })
  }
  t.throws(() => parseGuestConfig('{'), { code: 'ERR_CPU_GUEST_CONFIG', message: /not JSON/ })
  t.throws(() => parseGuestConfig('[]'), { message: 'guest configuration: it must be an object' })
})

const seed = (bytes: number) => Buffer.alloc(bytes, 1).toString('base64')

t.test('requests', async t => {
  t.strictSame(parseGuestRequest('{"request":"poweroff"}'), { request: 'poweroff' })
  t.strictSame(parseGuestRequest('{"request":"clock","unixMs":5.5}'), { request: 'clock', unixMs: 5.5 })
  t.equal(parseGuestRequest('{"request":"clock","unixMs":"5"}'), undefined)
  t.strictSame(parseGuestRequest('{"request":"restart","more":1}'), { request: 'restart' })
  const identity = { request: 'identity', hostname: 'v', authorizedKeys: '', hostKey: 'x', seed: seed(32) }
  t.strictSame(parseGuestRequest(JSON.stringify({ ...identity, more: 1 })), identity)
  for (const change of [{ seed: seed(31) }, { seed: undefined }, { hostKey: 1 }, { hostname: null }])
    t.equal(parseGuestRequest(JSON.stringify({ ...identity, ...change })), undefined)
  for (const line of ['', 'poweroff', '{"request":"halt"}', 'null', '[]'])
    t.equal(parseGuestRequest(line), undefined)
})

t.test('the control line: events out, requests in, in pieces', async t => {
  const [ours, theirs] = socketPair()
  const requests: GuestRequest[] = []
  const guest = new FdStream(ours)
  const control = new GuestControl(guest, request => requests.push(request))
  const launcher = new FdStream(theirs)
  const lines = createInterface(launcher)[Symbol.asyncIterator]()
  const next = async () => JSON.parse((await lines.next()).value)

  control.send({ event: 'booting' })
  t.strictSame(await next(), { event: 'booting' })
  launcher.write('{"request":')
  await once(guest, 'data')
  launcher.write('"poweroff"}\n\n{"request":"restart"}\r\nrubbish\n')
  t.strictSame(await next(), { event: 'warning', message: 'unknown request: rubbish' })
  t.strictSame(requests, [{ request: 'poweroff' }, { request: 'restart' }])
  await control.flush(10_000)
  launcher.destroy()
  await once(guest, 'close')
  control.send({ event: 'failed', message: 'nobody listens' })
  await control.flush(10_000)
})

t.test('the control line over a terminal, as a serial line is one', async t => {
  const { master, slaveFd, slavePath } = openPty({ rows: 24, columns: 80 })
  makeRaw(slaveFd, slavePath)
  const guest = new FdStream(slaveFd)
  const request = new Promise(resolve => new GuestControl(guest, resolve).send({ event: 'booting' }))
  const [chunk] = await once(master, 'data')
  t.equal(String(chunk), '{"event":"booting"}\n', 'no carriage return is added')
  master.write('{"request":"poweroff"}\n')
  t.strictSame(await request, { request: 'poweroff' })
  guest.destroy()
  master.destroy()
})

t.test('everything is mounted that a program expects', async t => {
  const root = mkdtempSync(join(tmpdir(), 'init-'))
  t.teardown(() => rmSync(root, { recursive: true }))
  const fixture = fileURLToPath(new URL('../fixtures/mount-system.js', import.meta.url))
  const { outcome, output } = await runToEnd([process.execPath, fixture, root], { mountNamespace: true })
  t.strictSame(outcome, { code: 0 })
  const { problems, again, mounted, ...dev } = JSON.parse(output)
  t.strictSame(problems, [])
  t.strictSame(again, [], 'what is mounted already is no failure')
  t.strictSame(dev, { null: true, kept: true, fd: '/proc/self/fd' }, 'and nothing in it is hidden')
  for (const { target, optional } of systemMounts) if (!optional) t.ok(mounted.includes(target), target)
})

t.test('log lines have their priority, one record each', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'log-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'kmsg')
  closeSync(openSync(path, 'w'))
  const log = openKernelLog(path)
  log('one')
  log('two\nlines', 4)
  log('')
  t.equal(readFileSync(path, 'utf8'), '<6>cpud: one\n<4>cpud: two\n<4>cpud: lines\n<6>cpud: \n')
  log('x'.repeat(2000))
  const long = readFileSync(path, 'latin1').split('\n').slice(4, -1)
  t.strictSame(
    long.map(record => record.length),
    [909, 909, 209],
    'a longer one would be refused',
  )
})

t.test('what sysvinit and systemd write to /run/initctl', async t => {
  const request = (magic: number, command: number, runlevel: string) => {
    const bytes = Buffer.alloc(384)
    bytes.writeInt32LE(magic, 0)
    bytes.writeInt32LE(command, 4)
    bytes.writeInt32LE(runlevel.charCodeAt(0), 8)
    return parseInitRequest(bytes)
  }
  t.equal(request(0x03091969, 1, '0'), 'poweroff')
  t.equal(request(0x03091969, 1, '6'), 'restart')
  t.equal(request(0x03091969, 1, '1'), undefined)
  t.equal(request(0x03091969, 2, '0'), undefined)
  t.equal(request(0, 1, '0'), undefined)
})

/** Runs PID 1 in namespaces of its own; there reboot(2) ends it, with a signal that tells the command. */
function bootInNamespace(config: object, ...args: string[]) {
  const { master, slaveFd } = openPty({ rows: 24, columns: 80 })
  const fixture = fileURLToPath(new URL('../fixtures/init.js', import.meta.url))
  const command = ['--mount', '--pid', '--fork', '--uts', '--net', '--kill-child', process.execPath, fixture]
  const child = spawn('unshare', [...command, JSON.stringify({ ...full, ...config }), ...args], {
    stdio: ['ignore', 'ignore', 'inherit', slaveFd],
  })
  closeSync(slaveFd)
  const lines = createInterface(master)[Symbol.asyncIterator]()
  return {
    master,
    kill: (signal: NodeJS.Signals) => process.kill(Number(childOf(child.pid!)), signal),
    next: async () => JSON.parse((await lines.next()).value),
    ended: once(child, 'exit'),
  }
}

function childOf(pid: number): string {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim()
}

t.test('as process 1 of namespaces', async t => {
  const limit = '/proc/sys/kernel/printk_devkmsg'
  const before = readFileSync(limit)
  t.teardown(() => writeFileSync(limit, before))
  // The line was opened before /dev is hidden by another.
  const config = { modules: ['/nope.ko'], control: '/proc/self/fd/3', network: undefined, root: undefined }

  const requests: [
    ask: (guest: ReturnType<typeof bootInNamespace>) => unknown,
    endedBy: 'SIGINT' | 'SIGHUP',
  ][] = [
    [({ master }) => master.write('{"request":"poweroff"}\n'), 'SIGINT'],
    [({ master }) => master.write('{"request":"restart"}\n'), 'SIGHUP'],
    [({ kill }) => kill('SIGUSR1'), 'SIGINT'], // which would start Node's debugger
    [({ kill }) => kill('SIGUSR2'), 'SIGINT'],
    [({ kill }) => kill('SIGPWR'), 'SIGINT'],
    [({ kill }) => kill('SIGTERM'), 'SIGHUP'],
    [({ kill }) => kill('SIGINT'), 'SIGHUP'],
  ]
  for (const [ask, signal] of requests) {
    const guest = bootInNamespace(config)
    const { next, master, ended } = guest
    t.strictSame(await next(), { event: 'booting' })
    t.match(await next(), { event: 'warning', message: /ENOENT.*\/nope\.ko/ })
    const ready = await next()
    t.match(ready, { event: 'ready', kernel: String, uptimeMs: Number, listening: ['vsock/3:17010'] })
    master.write('{"request":"kernel-log"}\n')
    const taints = { before: Number, now: Number }
    t.match(await next(), { event: 'kernel-log', lines: Array, omitted: 0, overrun: false, taints })
    master.write('{"request":"forget"}\n')
    t.match(await next(), { event: 'ready' })
    ask(guest)
    const [code, endedBy] = await ended
    // unshare(1) ends as its child did.
    t.strictSame(endedBy ?? code, endedBy === null ? 128 + constants.signals[signal] : signal)
    master.destroy()
  }

  const { next, master, ended } = bootInNamespace({ ...config, modules: [] }, 'no address to listen on')
  t.strictSame(await next(), { event: 'booting' })
  t.strictSame(await next(), { event: 'failed', message: 'no address to listen on' })
  await ended
  master.destroy()
})
