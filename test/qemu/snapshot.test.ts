// Real guests that go on from a snapshot: what they share, what they must not, and what happens when it cannot be used.

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import t from 'tap'
import type { attemptBoot } from '../../qemu/boot-attempt.js'
import { prepareImages } from '../../qemu/images.js'
import { type Machine, startMachine } from '../../qemu/machine.js'
import { generateKeys, initialState } from '../../qemu/machine-directory.js'
import { decide, type MachineOptions } from '../../qemu/settings.js'
import { reasonAgainstSnapshot, snapshotKey } from '../../qemu/snapshot-key.js'
import { snapshotDirectory } from '../../qemu/snapshot-store.js'
import { cpu, eventually } from '../fixtures/cpu-command.js'
import { cpuVmRun } from '../fixtures/cpu-vm-command.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'
import { privateSnapshots } from './private-cache.js'
import { privateRuntime } from './private-runtime.js'
import { realKernel } from './real-kernel.js'

const kernel = await realKernel()
const runtime = privateRuntime(t)
privateSnapshots(t)
const machine: MachineOptions = { kernel: kernel.image, net: 'tcp', snapshot: 'auto' }
const flags = ['-kernel', kernel.image, '-net', 'tcp']
const stagesOf = ({ record }: Awaited<ReturnType<typeof cpuVmRun>>) =>
  record.stages.map(({ stage }) => stage).filter(stage => stage !== 'kernel' && stage !== 'image')

function nothingIsLeft(test: Pick<typeof t, 'strictSame'>): void {
  test.strictSame(fs.existsSync(runtime) ? fs.readdirSync(runtime) : [], [], 'no machine')
  test.strictSame(
    fs.readdirSync(snapshotDirectory()).filter(name => name.startsWith('.')),
    [],
    'nothing half made',
  )
  const open = fs.readdirSync('/proc').filter(pid => {
    try {
      return (
        /^\d+$/.test(pid) && fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(snapshotDirectory())
      )
    } catch {
      return false
    }
  })
  test.strictSame(open, [], 'no process')
}

/** Of who makes the snapshot. */
const env = { OF_THE_USER: 'a-secret-of-the-first-run' }
const cwd = temporaryDirectory(t)

t.test('the first run boots and keeps, the second goes on from there', async t => {
  const first = await cpuVmRun(['-v', ...flags, '--', 'sh', '-c', 'echo "$0"; exit 3', 'one'], { env, cwd })
  t.equal(first.code, 3, first.stderr)
  t.equal(String(first.stdout), 'one\n')
  t.strictSame(stagesOf(first), ['checks', 'boot', 'snapshot', 'restore', 'command'])
  t.match(first.stderr, /^cpu-vm: snapshot: \d+ ms$/m)
  const second = await cpuVmRun([...flags, '-name', 'other', '--', 'sh', '-c', 'hostname; exit 4'])
  t.equal(second.code, 4, second.stderr)
  t.equal(String(second.stdout), 'other\n')
  t.strictSame(stagesOf(second), ['checks', 'restore', 'command'])
  t.match(second.record, {
    outcome: { kind: 'exit', exitCode: 4 },
    machine: { restored: true },
    kernelLog: { source: 'guest', lines: [], omitted: 0 },
    flakes: [],
  })
  nothingIsLeft(t)
})

t.test('it has rehearsed with files, and knows nothing of who had it made', async t => {
  const { stdout } = await cpuVmRun([...flags, '--', 'dmesg'])
  t.match(String(stdout), /cpu-harness\/rehearsal: command not found/)
  t.match(String(stdout), /session ended with 127/)
  const memory = fs.readFileSync(path.join(snapshotDirectory(), onlySnapshot(), 'memory'))
  t.ok(memory.includes('/cpu-harness/rehearsal'), 'what a session is told is found in it')
  for (const secret of [...Object.values(env), cwd]) t.notOk(memory.includes(secret), secret)
})

t.test('what the kernel says, and its end, are told as ever', async t => {
  const warned = await cpuVmRun([...flags, '--', 'sh', '-c', 'echo f >/proc/sysrq-trigger; true'])
  t.match(warned.record.kernelLog.source, 'guest')
  const panicked = await cpuVmRun([...flags, '--', 'sh', '-c', 'echo c >/proc/sysrq-trigger; sleep 60'])
  t.equal(panicked.code, 125)
  t.match(panicked.record, { outcome: { kind: 'panic', phase: 'command' }, machine: { restored: true } })
  nothingIsLeft(t)
})

/** The cookie of a server's SSH_MSG_KEXINIT (RFC 4253, 7.1): 16 bytes of cpud's own generator, before all encryption. */
async function kexCookie({ tcpPort }: Machine): Promise<string> {
  const socket = net.connect(tcpPort!, '127.0.0.1')
  socket.write('SSH-2.0-test\r\n')
  let heard = Buffer.alloc(0)
  for await (const chunk of socket) {
    heard = Buffer.concat([heard, chunk])
    const packet = heard.indexOf('\r\n') + 2
    if (packet < 2 || heard.length < packet + 22) continue
    t.equal(heard[packet + 5], 20, 'SSH_MSG_KEXINIT')
    return heard.subarray(packet + 6, packet + 22).toString('hex')
  }
  throw new Error('no SSH_MSG_KEXINIT')
}

t.test('two at once share nothing that is its own', async t => {
  const before = memoryHash()
  await using a = await startMachine({ ...machine, name: 'a' })
  await using b = await startMachine({ ...machine, name: 'b' })
  t.ok(a.restored && b.restored)
  const env = { XDG_RUNTIME_DIR: path.dirname(runtime) }
  const inGuest = async ({ name }: Machine, script: string, ...more: string[]) => {
    const { code, stdout, stderr } = await cpu({ flags: more, host: name, env }, ['sh', '-c', script])
    return code === 0 ? String(stdout).trim() : `${code}: ${stderr}`
  }
  t.not(a.hostKey, b.hostKey)
  t.not(await kexCookie(a), await kexCookie(b), 'cpud has other random numbers')
  const random = 'head -c 32 /dev/urandom | base64; cat /proc/sys/kernel/random/boot_id'
  const [fromA, fromB] = [await inGuest(a, random), await inGuest(b, random)].map(text => text.split('\n'))
  t.match(fromA?.[0], /^[\w+/]{43}=$/)
  t.not(fromA?.[0], fromB?.[0], 'the kernel has, too')
  t.not(fromA?.[1], fromB?.[1])
  t.equal(await inGuest(a, 'hostname'), 'a')
  t.equal(await inGuest(b, 'hostname'), 'b')

  const key = (of: Machine) => ['-key', path.join(of.directory, 'id_ed25519')]
  const refused = await cpu({ flags: [...key(a), '-o', 'IdentitiesOnly=yes'], host: 'b', env }, ['true'])
  t.not(refused.code, 0, 'the key of another machine')

  t.equal(await inGuest(a, 'echo of-a >/tmp/local/root/mark; cat /tmp/local/root/mark'), 'of-a')
  t.equal(await inGuest(b, 'ls /tmp/local/root'), '')
  t.equal(memoryHash(), before, 'what a guest writes is its own')
  // Its clock stood still when it was kept.
  const ageMs = Date.now() - fs.statSync(path.join(snapshotDirectory(), onlySnapshot(), 'memory')).mtimeMs
  const away = Math.abs(Number(await inGuest(b, 'date +%s%3N')) - Date.now())
  t.ok(away < ageMs / 2, `the clock is ${away} ms away, the snapshot ${ageMs} ms old`)
})

function onlySnapshot(): string {
  const [name, ...others] = fs.readdirSync(snapshotDirectory())
  t.strictSame(others, [])
  return name!
}

function memoryHash(): string {
  const memory = fs.readFileSync(path.join(snapshotDirectory(), onlySnapshot(), 'memory'))
  return createHash('sha256').update(memory).digest('hex')
}

t.test('one that QEMU cannot use is replaced, and the run is a boot', async t => {
  const directory = path.join(snapshotDirectory(), onlySnapshot())
  const state = fs.readFileSync(path.join(directory, 'state'))
  const rubbish = state.fill('rubbish', 1000, 5000)
  fs.writeFileSync(path.join(directory, 'state'), rubbish)
  const manifest = JSON.parse(fs.readFileSync(path.join(directory, 'snapshot.json'), 'utf8'))
  const text = createHash('sha256')
    .update(rubbish)
    .update(fs.readFileSync(path.join(directory, 'console')))
  fs.writeFileSync(
    path.join(directory, 'snapshot.json'),
    JSON.stringify({ ...manifest, sha256: text.digest('hex') }),
  )
  const run = await cpuVmRun([...flags, '--', 'true'])
  t.equal(run.code, 0, run.stderr)
  t.match(run.stderr, /^cpu-vm: booting, since the snapshot cannot be used: \S/m)
  t.strictSame(stagesOf(run), ['checks', 'boot', 'snapshot', 'restore', 'command'])
  t.match(run.record, { outcome: { kind: 'exit', exitCode: 0 }, flakes: [] })
  nothingIsLeft(t)
})

t.test('an abort leaves nothing half made', async t => {
  const controller = new AbortController()
  const starting = startMachine({ ...machine, append: 'another', signal: controller.signal })
  starting.catch(() => undefined)
  const isBegun = () => fs.readdirSync(snapshotDirectory()).some(name => /^\.[0-9a-f]{32}$/.test(name))
  t.ok(await eventually(isBegun, 60_000, 10))
  controller.abort(new Error('enough'))
  await t.rejects(starting, { message: 'enough' })
  nothingIsLeft(t)
})

t.test('the room for it is taken while the guest boots: a boot without one', async t => {
  const store = snapshotDirectory()
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=600m', 'tmpfs', store])
  try {
    const running = cpuVmRun([...flags, '-memory', '512', '--', 'sh', '-c', 'exit 5'])
    const memory = () => fs.readdirSync(store).some(name => isNonEmpty(path.join(store, name, 'memory')))
    t.ok(await eventually(memory, 30_000, 10), 'QEMU has begun')
    t.throws(() => fs.writeFileSync(path.join(store, 'filler'), Buffer.alloc(600 << 20)), { code: 'ENOSPC' })
    const { code, stderr, record } = await running
    t.equal(code, 5, stderr)
    t.match(stderr, /booting again without a snapshot, for which there is no room/)
    t.match(record, { machine: { restored: false }, flakes: [] })
    fs.rmSync(path.join(store, 'filler'))
    nothingIsLeft(t)
  } finally {
    execFileSync('umount', [store])
  }
})

function isNonEmpty(file: string): boolean {
  return (fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0) > 0
}

t.test('which machines are of one kind', async t => {
  const base = async (options: MachineOptions): Promise<Parameters<typeof attemptBoot>[0]> => {
    const settings = await decide({ ...machine, ...options })
    const images = await prepareImages(settings, options)
    const name = options.name ?? 'x'
    const [state, keys] = [initialState(name), generateKeys(name)]
    return { directory: `/${name}`, settings, images, options, keys, state, cid: undefined, tcpPort: 4000 }
  }
  const key = async (options: MachineOptions) => snapshotKey(await base(options))
  const same = await key({})
  t.equal(await key({ name: 'y' }), same)
  const others: MachineOptions[] = [
    { append: 'x' },
    { memoryMiB: 512 },
    { cpus: 2 },
    { net: 'none' },
    { extraModules: ['ext4'] },
    { kernel: (await realKernel('cloud-amd64')).image },
  ]
  const keys = [same]
  for (const options of others) keys.push(await key(options))
  t.equal(new Set(keys).size, 1 + others.length)
  const changed = await base({})
  const bootImage = path.join(temporaryDirectory(t), 'vmlinux')
  fs.writeFileSync(bootImage, 'one')
  const images = { ...changed.images, bootImage }
  const one = await snapshotKey({ ...changed, images })
  fs.writeFileSync(bootImage, 'two')
  t.not(await snapshotKey({ ...changed, images }), one, 'a kernel that was built anew')

  const { settings } = changed
  t.equal(reasonAgainstSnapshot(settings, machine), undefined)
  const share = { tag: 'src', hostPath: '/', readOnly: true, cache: 'auto' } as const
  const disk = { hostPath: '/x', format: 'raw', readOnly: true, snapshot: false } as const
  t.match(reasonAgainstSnapshot({ ...settings, shares: [share] }, machine), /-share/)
  t.match(reasonAgainstSnapshot({ ...settings, disks: [disk] }, machine), /-disk/)
  t.match(reasonAgainstSnapshot({ ...settings, nested: true }, machine), /-nested/)
  t.match(reasonAgainstSnapshot({ ...settings, root: { type: '9p', hostPath: '/' } }, machine), /-root/)
  t.match(reasonAgainstSnapshot({ ...settings, serial: true }, machine), /-net/)
  t.match(reasonAgainstSnapshot({ ...settings, machine: 'microvm' }, machine), /microvm/)
  t.match(reasonAgainstSnapshot(settings, { ...machine, gdb: true }), /-gdb/)
  t.match(reasonAgainstSnapshot(settings, { ...machine, qemuArgs: ['-S'] }), /-qemu-arg/)
  t.match(reasonAgainstSnapshot(settings, { ...machine, devices: [{ qemu: [] }] }), /devices/)
})
