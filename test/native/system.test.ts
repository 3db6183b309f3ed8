import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openPty } from '../../src/native/pty.js'
import { isSupervisor } from '../../src/native/spawn.js'
import {
  configureInterface,
  loadModule,
  makeRaw,
  netmask,
  parseIpv4,
  reapOrphans,
  setHostname,
  setLoopbackUp,
} from '../../src/native/system.js'
import { run } from '../fixtures/run-program.js'

t.test('IPv4 addresses and masks', async t => {
  t.equal(parseIpv4('10.0.2.15'), 0x0a00020f)
  t.equal(parseIpv4('255.255.255.255'), 0xffffffff)
  for (const text of ['', '1.2.3', '1.2.3.256', '1.2.3.4.5', 'a.b.c.d', ' 1.2.3.4', '1.2.3.-4']) {
    t.throws(() => parseIpv4(text), { code: 'ERR_CPU_ADDRESS' }, text)
  }
  t.strictSame([0, 8, 24, 31, 32].map(netmask), [0, 0xff000000, 0xffffff00, 0xfffffffe, 0xffffffff])
})

t.test('host name and loopback of this machine stay as they are', async t => {
  setHostname(hostname())
  setLoopbackUp()
  t.throws(() => configureInterface('nosuchif0', { address: '10.0.0.1', prefix: 24 }), {
    code: 'ENODEV',
    message: /ioctl SIOCSIFADDR nosuchif0 10.0.0.1\/24$/,
  })
})

t.test('a module that is none', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'system-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'none.ko')
  writeFileSync(path, 'not a module')
  // ENOSYS on a kernel without modules.
  t.throws(() => loadModule(path), {
    code: /^(ENOEXEC|ENOSYS|EPERM)$/,
    message: new RegExp(`finit_module ${path}`),
  })
  t.throws(() => loadModule(join(folder, 'missing.ko')), { code: 'ENOENT' })
})

t.test('a raw terminal neither echoes nor translates', async t => {
  const { master, slaveFd, slavePath } = openPty({ rows: 24, columns: 80 })
  makeRaw(slaveFd, slavePath)
  const slave = openSync(slavePath, 'r+')
  writeFileSync(slave, 'a\nb\n')
  const [chunk] = await master.take(1).toArray()
  t.equal(String(chunk), 'a\nb\n')
  closeSync(slave)
  closeSync(slaveFd)
  const file = openSync('/dev/null', 'r')
  t.throws(() => makeRaw(file, '/dev/null'), { code: 'ENOTTY', message: /tcsetattr \/dev\/null$/ })
  closeSync(file)
})

/** By proc_pid_stat(5). */
function isZombie(pid: number): boolean {
  try {
    return /\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

t.test('only orphans are reaped', async t => {
  // A supervisor that was killed but whose Program has not had its turn yet; to the second, nobody knows it.
  for (const isKnown of [isSupervisor, () => false]) {
    const { program, ended } = run('exec sleep 1000')
    await new Promise(resolve => program.once('started', resolve))
    process.kill(program.supervisorPid, 'SIGKILL')
    while (!isZombie(program.supervisorPid));
    const left = isKnown === isSupervisor
    t.equal(reapOrphans(isKnown), left)
    t.equal(isZombie(program.supervisorPid), left)
    await ended
    t.equal(reapOrphans(isKnown), false)
    t.notOk(isZombie(program.supervisorPid))
  }
})
