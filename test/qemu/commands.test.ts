// The commands for a machine that stays, on one that was kept when its command had taken too long.

import fs from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { collect, eventually } from '../fixtures/cpu-command.js'
import { cpuVm, cpuVmRun, startCpuVm } from '../fixtures/cpu-vm-command.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'
import { privateRuntime } from './private-runtime.js'
import { realKernel } from './real-kernel.js'

const { release } = await realKernel()
const runtime = privateRuntime(t)
const shared = temporaryDirectory(t)
const disk = path.join(shared, 'disk.img')
fs.writeFileSync(path.join(shared, 'file'), 'shared\n')
fs.writeFileSync(disk, 'on the disk\n'.padEnd(1 << 20))

const kernel = ['-kernel', release, '-module', 'ext4', '-module', 'loop']
const parts = ['-name', 'v', ...kernel, '-share', `src=${shared}:ro`, '-disk', `${disk},snapshot`, '-debug']
const { code, stderr, record } = await cpuVmRun([...parts, '-keep', '-timeout', '2s', '--', 'sleep', '1000'])
t.teardown(() => cpuVm(['stop', 'v']))
const there = (...command: string[]) => cpuVm(['exec', 'v', '--', ...command])

t.test('the command has timed out, and the machine is kept', async t => {
  t.equal(code, 125)
  t.match(record, {
    outcome: { kind: 'command-timed-out', limitMs: 2000, guestAnswers: true },
    message: /^the command has not ended after 2 s; the guest answers/,
    kept: 'v',
  })
  t.match(stderr, /^cpu-vm: v is kept: /m)
  t.equal((await cpuVm(['wait', '-timeout', '1s', 'v'])).code, 0)
  const listed = JSON.parse((await cpuVm(['list', '-json'])).stdout.toString())
  t.match(listed, [{ name: 'v', status: 'ready', release: /^6\./, directory: path.join(runtime, 'v') }])
})

t.test('modules that were asked for, with what they depend on', async t => {
  const loaded = (await there('cut', '-d', ' ', '-f', '1', '/proc/modules')).stdout.toString().split('\n')
  for (const name of ['ext4', 'jbd2', 'loop']) t.ok(loaded.includes(name), name)
  t.equal((await there('uname', '-r')).stdout.toString().trim(), release)
})

t.test('exec', async t => {
  const seven = await there('sh', '-c', 'echo out; echo err >&2; exit 7')
  t.strictSame([seven.code, seven.stdout.toString(), seven.stderr], [7, 'out\n', 'err\n'])
  t.equal((await there('sh', '-c', 'kill -SEGV $$')).code, 139)
  const late = await cpuVm(['exec', '-timeout', '1s', 'v', '--', 'sleep', '1000'])
  t.equal(late.code, 125)
  t.match(late.stderr, /the command has not ended after 1 s/)
  t.equal((await cpuVm(['exec', 'nosuch', '--', 'true'])).code, 125)
})

t.test('a share that is read-only, and a disk that forgets', async t => {
  const fstab = path.join(shared, 'fstab')
  fs.writeFileSync(fstab, 'src /mnt virtiofs rw 0 0\n')
  const share = await cpuVm(['exec', '-fstab', fstab, 'v', '--', 'sh', '-c', 'cat /mnt/file; touch /mnt/new'])
  t.equal(share.stdout.toString(), 'shared\n')
  t.match(share.stderr, /Read-only file system/)
  t.notOk(fs.existsSync(path.join(shared, 'new')))
  const written = await there(
    'sh',
    '-c',
    'head -c 11 /dev/vda; echo over >/dev/vda; sync; head -c 4 /dev/vda',
  )
  t.equal(written.stdout.toString(), 'on the diskover', written.stderr)
  t.match(fs.readFileSync(disk, 'utf8'), /^on the disk\n/)
})

t.test('console and monitor, both ways', async t => {
  await there('sh', '-c', 'echo "<1>before it was looked at" >/dev/kmsg')
  const child = startCpuVm(['console', 'v'])
  let screen = ''
  child.stdout!.on('data', chunk => {
    screen += chunk
  })
  t.teardown(() => child.kill())
  t.ok(await eventually(() => screen.includes('before it was looked at')))
  await there('sh', '-c', 'echo "<1>while it is looked at" >/dev/kmsg')
  t.ok(await eventually(() => screen.includes('while it is looked at')))
  const reader = there('head', '-n', '1', '/dev/ttyS0')
  const typing = setInterval(() => child.stdin!.write('typed\n'), 1000)
  t.match((await reader).stdout.toString(), 'typed')
  clearInterval(typing)
  const logged = await cpuVm(['log', 'v'])
  t.match(logged.stdout.toString(), 'while it is looked at')

  const monitor = startCpuVm(['console', '-monitor', 'v'])
  const answer = collect(monitor)
  monitor.stdin!.write('info status\n')
  let shown = ''
  monitor.stdout!.on('data', chunk => {
    shown += chunk
  })
  t.ok(await eventually(() => shown.includes('VM status: running')))
  monitor.kill('SIGTERM')
  t.equal((await answer).code, 143)
})

t.test('the end: seen by those who wait, and kept until stop', async t => {
  const waiting = cpuVm(['wait', '-ended', '-timeout', '2m', 'v'])
  const following = cpuVm(['log', '-f', 'v'])
  t.equal((await cpuVm(['wait', '-ended', '-timeout', '1ms', 'v'])).code, 125)
  await there('sh', '-c', 'echo o >/proc/sysrq-trigger; sleep 60')
  t.equal((await waiting).code, 0)
  t.match(await following, { code: 0 })
  t.equal((await there('true')).code, 125)
  t.match((await cpuVm(['console', 'v'])).stderr, /v does not run \(cpu-vm log v/)
  t.match((await cpuVm(['list'])).stdout.toString(), /^v +ended/m)
  t.match((await cpuVm(['log', 'v'])).stdout.toString(), 'while it is looked at')
  t.equal((await cpuVm(['stop', 'v'])).code, 0)
  t.strictSame(fs.readdirSync(runtime), [])
})
