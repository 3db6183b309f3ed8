// `cpu-vm run` on real guests, and all that can go wrong: one line with the reason, the right exit code and record, and
// nothing left behind.

import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { cacheDirectory } from '../../qemu/cache.js'
import { prepareImages } from '../../qemu/images.js'
import { machineFiles, readState } from '../../qemu/machine-directory.js'
import { decide } from '../../qemu/settings.js'
import { collect, eventually } from '../fixtures/cpu-command.js'
import { cpuVm, cpuVmRun, startCpuVm } from '../fixtures/cpu-vm-command.js'
import { GdbClient } from '../fixtures/gdb-client.js'
import { homeWith } from '../fixtures/home.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'
import { privateRuntime } from './private-runtime.js'
import { realKernel } from './real-kernel.js'

const { image: kernel } = await realKernel()

/** No machine's directory, and no process that knows it. */
function nothingIsLeft(t: Test, runtime: string): void {
  t.strictSame(fs.existsSync(runtime) ? fs.readdirSync(runtime) : [], [], 'no files are left')
  t.strictSame(processesWith(runtime), [], 'no process is left')
}

function processesWith(text: string): string[] {
  return fs
    .readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(pid => {
      try {
        return fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ')
      } catch {
        return ''
      }
    })
    .filter(command => command.includes(text))
}

t.test("a signal, and words in the log that are not the kernel's", async t => {
  const runtime = privateRuntime(t)
  const script = 'echo "<1>BUG: says a program" >/dev/kmsg; kill -TERM $$'
  const { code, stderr, record } = await cpuVmRun(['--', 'sh', '-c', script])
  t.equal(code, 143, stderr)
  t.match(record, {
    version: 1,
    exitCode: 143,
    outcome: { kind: 'signal', signal: 'SIGTERM' },
    message: 'the command was ended by SIGTERM',
    command: ['sh', '-c', script],
    machine: { release: /^6\./, kernel: /vmlinuz/ },
    kernelLog: { source: 'guest', findings: [] },
    flakes: [],
  })
  t.strictSame(
    // The first of its kind is booted before that.
    record.stages.map(({ stage }) => stage).filter(stage => ['checks', 'restore', 'command'].includes(stage)),
    ['checks', 'restore', 'command'],
  )
  t.ok(record.console.some(line => line.includes('BUG: says a program')))
  t.match(record.repeat, /^cd \S+ && .*cpu-vm run -kernel \S+ -result /)
  nothingIsLeft(t, runtime)
})

t.test('without QEMU', async t => {
  const runtime = privateRuntime(t)
  const programs = temporaryDirectory(t)
  for (const name of ['env', 'setpriv', 'strip', 'ldd', 'sh']) {
    const found = ['/usr/bin', '/bin'].map(folder => path.join(folder, name)).find(fs.existsSync)
    if (found !== undefined) fs.symlinkSync(found, path.join(programs, name))
  }
  for (const flags of [
    ['-net', 'tcp'],
    ['-net', 'tcp', '-snapshot', 'never'],
  ]) {
    const { code, stderr, record } = await cpuVmRun([...flags, '-kernel', kernel, '--', 'true'], {
      env: { PATH: programs },
    })
    t.equal(code, 125)
    t.match(
      stderr,
      /^cpu-vm: qemu-system-x86_64 is not installed \(apt-get install qemu-system-x86\)$/m,
      flags.join(' '),
    )
    t.match(record, { outcome: { kind: 'harness-error', code: 'ERR_CPU_VM_QEMU_MISSING' } })
  }
  nothingIsLeft(t, runtime)
})

t.test('a panic', async t => {
  const runtime = privateRuntime(t)
  const { code, stderr, record } = await cpuVmRun(['--', 'sh', '-c', 'echo c >/proc/sysrq-trigger; sleep 60'])
  t.equal(code, 125)
  const reason = "the guest's kernel panicked: Kernel panic - not syncing: sysrq triggered crash"
  t.match(record, { outcome: { kind: 'panic', phase: 'command' }, message: reason, exitCode: 125 })
  t.ok(record.kernelLog.findings.some(({ kind }) => kind === 'panic'))
  t.match(stderr, `cpu-vm: ${reason}\n  | `)
  nothingIsLeft(t, runtime)
})

t.test('too little memory for the command', async t => {
  const runtime = privateRuntime(t)
  const { code, stderr, record } = await cpuVmRun(['-memory', '384', '--', 'tail', '/dev/zero'])
  t.equal(code, 125)
  t.match(record.outcome, { kind: 'out-of-memory', command: { signal: 'SIGKILL' } })
  t.match(stderr, /too little memory for the command: Out of memory: Killed process \d+ \(tail\).*-memory/)
  nothingIsLeft(t, runtime)
})

t.test('a guest that hangs', async t => {
  const runtime = privateRuntime(t)
  // A program of the highest real-time priority, on the only processor, with no time kept for others.
  const spin = 'echo -1 >/proc/sys/kernel/sched_rt_runtime_us; exec chrt -f 99 sh -c "while :; do :; done"'
  const { code, record } = await cpuVmRun(['-cpus', '1', '-timeout', '10s', '--', 'sh', '-c', spin])
  t.equal(code, 125)
  t.match(record, {
    outcome: { kind: 'command-timed-out', limitMs: 10_000, guestAnswers: false },
    message: /^the command has not ended after 10 s; the guest hangs/,
    kernelLog: { source: 'console' },
  })
  nothingIsLeft(t, runtime)
})

t.test('an oops of a command that succeeds, and a warning before it', async t => {
  const runtime = privateRuntime(t)
  const directory = temporaryDirectory(t)
  const there = (name: string) => path.join(directory, name)
  const script = `
    grep -E ' (__x64_sys_getcpu|__warn)$' /proc/kallsyms >symbols.new; mv symbols.new symbols
    for step in warn oops; do
      until [ -e go-$step ]; do sleep 0.2; done
      perl -e 'syscall(309, 0, 0, 0)'
      touch done-$step
    done`
  const running = cpuVmRun(['-name', 'g', '-gdb', '-append', 'nopti', '--', 'sh', '-c', script], {
    cwd: directory,
  })
  const seen = (name: string) => eventually(() => fs.existsSync(there(name)), 60_000)
  t.ok(await seen('symbols'))
  const symbols = new Map(
    [...fs.readFileSync(there('symbols'), 'utf8').matchAll(/^(\w+) \w (\w+)$/gm)].map(
      ([, address = '', name]) => [name, BigInt(`0x${address}`)],
    ),
  )
  const target = symbols.get('__x64_sys_getcpu')!
  for (const [step, code] of [
    ['warn', warningCode(target, symbols.get('__warn')!)],
    ['oops', Buffer.from('0f0b', 'hex')], // ud2
  ] as const) {
    const gdb = await GdbClient.attach(machineFiles(path.join(runtime, 'g')).gdb)
    await gdb.write(target, code)
    await gdb.detach()
    fs.writeFileSync(there(`go-${step}`), '')
    t.ok(await seen(`done-${step}`))
  }
  const { code, stderr, record } = await running
  t.equal(code, 125)
  t.match(record.outcome, { kind: 'oops', phase: 'command', command: { exitCode: 0 } })
  t.match(
    record.kernelLog.findings.map(({ kind }) => kind),
    ['warning', 'oops'],
  )
  t.match(record.kernelLog, { source: 'guest', omitted: 0 })
  t.match(stderr, /oopsed during the command, which ended with exit code 0: .*invalid opcode: 0000 \[#1\]/)
  nothingIsLeft(t, runtime)
})

/** Calls __warn(file: 0, line: 0, caller: 0, taint: 9, regs: 0, args: 0), kernel/panic.c, and returns 0. */
function warningCode(at: bigint, warn: bigint): Buffer {
  const head = Buffer.from('31ff31f631d2b9090000004531c04531c9e8', 'hex')
  const distance = Buffer.alloc(4)
  distance.writeInt32LE(Number(warn - (at + BigInt(head.length + 4))))
  return Buffer.concat([head, distance, Buffer.from('31c0c3', 'hex')])
}

for (const victim of ['qemu', 'virtiofsd'] as const) {
  t.test(`${victim} killed while the command runs`, async t => {
    const runtime = privateRuntime(t)
    const shared = temporaryDirectory(t)
    const flag = path.join(shared, 'runs')
    const running = cpuVmRun(
      ['-name', 'k', '-share', `src=${shared}`, '--', 'sh', '-c', 'touch runs; sleep 1000'],
      { cwd: shared },
    )
    t.ok(await eventually(() => fs.existsSync(flag), 60_000))
    const state = readState(path.join(runtime, 'k'))!
    process.kill((victim === 'qemu' ? state.qemu! : state.virtiofsd[0]!).pid, 'SIGKILL')
    const { code, record } = await running
    t.equal(code, 125)
    t.match(record, {
      outcome: { kind: 'machine-died', part: victim },
      message: victim === 'qemu' ? /QEMU was killed by SIGKILL/ : /virtiofsd for share src ended/,
    })
    nothingIsLeft(t, runtime)
    t.strictSame(processesWith(`source=${shared}`), [])
  })
}

t.test('a connection that is lost to a guest that lives', async t => {
  const runtime = privateRuntime(t)
  const home = homeWith(t, ['Host *', '  ServerAliveInterval 1', '  ServerAliveCountMax 2'])
  const env = { ...home.env, XDG_CACHE_HOME: path.dirname(cacheDirectory()) }
  const script = 'for link in /sys/class/net/e*; do ip link set $(basename $link) down; done; sleep 1000'
  const { code, stderr, record } = await cpuVmRun(['-net', 'tcp', '--', 'sh', '-c', script], { env })
  t.equal(code, 125)
  t.match(record, {
    outcome: { kind: 'transport-lost', guestAnswers: true },
    message: /connection was lost before the command ended.*; the guest answers$/,
  })
  t.match(stderr, record.message)
  nothingIsLeft(t, runtime)
})

t.test('SIGINT while the command runs, and a second run of the same name meanwhile', async t => {
  const runtime = privateRuntime(t)
  const directory = temporaryDirectory(t)
  const result = path.join(directory, 'result.json')
  const args = ['run', '-name', 'i', '-result', result, '--', 'sh', '-c', 'echo runs; sleep 1000']
  const child = startCpuVm(args, { cwd: directory })
  const ended = collect(child)
  const read = () => JSON.parse(fs.readFileSync(result, 'utf8'))
  t.ok(await eventually(() => fs.existsSync(path.join(runtime, 'i')), 60_000))
  t.match(read(), { exitCode: 125, outcome: { kind: 'harness-error' } }, 'no result is no success')
  const second = await cpuVmRun(['-name', 'i', '-keep', '--', 'true'])
  t.equal(second.code, 125)
  t.match(second.record.outcome, { kind: 'harness-error', code: 'ERR_CPU_VM_NAME_TAKEN' })
  t.notOk(second.record.kept, "what is there is another's")
  let said = ''
  child.stdout!.on('data', chunk => {
    said += chunk
  })
  t.ok(await eventually(() => said.includes('runs'), 60_000))
  child.kill('SIGINT')
  const { code, stderr } = await ended
  t.equal(code, 130)
  t.match(stderr, /^cpu-vm: interrupted by SIGINT$/m)
  t.match(read(), { exitCode: 130, outcome: { kind: 'interrupted', signal: 'SIGINT' } })
  nothingIsLeft(t, runtime)
})

t.test('a cache with a damaged image in it', async t => {
  const runtime = privateRuntime(t)
  const cache = privateCache(t)
  const { baseImage, machineImage } = await prepareImages(await decide({ kernel, net: 'tcp' }), {})
  t.ok(machineImage.startsWith(cache))
  const expectMended = async () => {
    const { code, stdout, stderr } = await cpuVmRun(['-kernel', kernel, '--', 'echo', 'well'])
    t.strictSame([code, stdout.toString()], [0, 'well\n'], stderr)
    t.match(stderr, /damaged in the cache, and is made again/)
    nothingIsLeft(t, runtime)
  }
  damage(machineImage)
  await expectMended()
  // What is made of it is as damaged, and has the right checksum.
  damage(baseImage)
  fs.rmSync(path.dirname(machineImage), { recursive: true })
  fs.rmSync(path.join(cache, 'cpu-harness/snapshots'), { recursive: true, force: true })
  await expectMended()
})

function damage(image: string): void {
  const file = fs.openSync(image, 'r+')
  fs.writeSync(file, Buffer.alloc(1 << 20), 0, 1 << 20, 0)
  fs.closeSync(file)
}

t.test('a cache that is only to be read', async t => {
  const runtime = privateRuntime(t)
  const cache = privateCache(t)
  const { machineImage } = await prepareImages(await decide({ kernel, net: 'tcp' }), {})
  fs.rmSync(path.dirname(machineImage), { recursive: true })
  execFileSync('mount', ['--bind', cache, cache])
  execFileSync('mount', ['-o', 'remount,bind,ro', cache])
  t.teardown(() => execFileSync('umount', [cache]))
  const { code, stdout, stderr } = await cpuVmRun(['-kernel', kernel, '-net', 'tcp', '--', 'echo', 'well'])
  t.strictSame([code, stdout.toString()], [0, 'well\n'], stderr)
  nothingIsLeft(t, runtime)
})

t.test('no room for an image', async t => {
  const runtime = privateRuntime(t)
  const cache = privateCache(t)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=90m', 'tmpfs', cache])
  t.teardown(() => execFileSync('umount', [cache]))
  const { code, stderr, record } = await cpuVmRun(['-kernel', kernel, '--', 'true'])
  t.equal(code, 125)
  t.match(record, {
    outcome: { kind: 'harness-error', code: 'ERR_CPU_VM_WRITE' },
    message: /cannot write to the cache, \S+\/images: no space left on device \(make room there/,
  })
  t.match(stderr, /no space left/)
  t.strictSame(fs.readdirSync(path.join(cache, 'cpu-harness/images')), [])
  nothingIsLeft(t, runtime)
})

t.test('SIGINT while an image is built', async t => {
  const runtime = privateRuntime(t)
  const images = path.join(privateCache(t), 'cpu-harness/images')
  const child = startCpuVm(['start', '-kernel', kernel])
  const ended = collect(child)
  t.ok(await eventually(() => fs.existsSync(images) && fs.readdirSync(images).length > 0, 60_000, 5))
  child.kill('SIGINT')
  const { code, stderr } = await ended
  t.equal(code, 130)
  t.match(stderr, /interrupted by SIGINT/)
  t.ok(
    fs.readdirSync(images).every(name => !name.startsWith('.')),
    'nothing half done',
  )
  nothingIsLeft(t, runtime)
})

t.test('what cannot be asked for is wrong usage, and nothing is started', async t => {
  const runtime = privateRuntime(t)
  const file = path.join(temporaryDirectory(t), 'file')
  fs.writeFileSync(file, '')
  for (const [args, says] of [
    [['-share', 'a b=/tmp'], /invalid share tag/],
    [['-share', 'a=/tmp', '-share', 'a=/usr'], /two shares have the tag a/],
    [['-module', 'etx4'], /no module etx4 \(did you mean ext4\?\)/],
    [['-share', 'a=/no/such'], /no such directory to share/],
    [['-share', `a=${file}`], /no such directory to share/],
    [['-disk', '/no/such'], /no such disk/],
    [['-net', 'none'], /no command gets into/],
    [['-fstab', '/no/such'], /cannot read/],
    [['-result', '/no/such/file'], /cannot write/],
  ] as const) {
    const { code, stderr } = await cpuVm(['run', ...args, '--', 'true'])
    t.equal(code, 2, args.join(' '))
    t.match(stderr, says)
  }
  nothingIsLeft(t, runtime)
})

t.test('a kernel that is none', async t => {
  const runtime = privateRuntime(t)
  const { code, stderr, record } = await cpuVmRun(['-kernel', '/etc/passwd', '--', 'true'])
  t.equal(code, 125)
  t.match(record.outcome, { kind: 'harness-error', code: 'ERR_CPU_VM_KERNEL_INVALID' })
  t.match(
    stderr,
    /^cpu-vm: \/etc\/passwd is neither a bzImage, nor an arm64 Image, nor a vmlinux \(name a kernel.*\)$/m,
  )
  nothingIsLeft(t, runtime)
})

t.test('-dry-run starts nothing, and shows lines that a shell takes', async t => {
  const runtime = privateRuntime(t)
  const args = ['run', '-dry-run', '-share', 'src=/usr:ro', '-qemu-arg', '-S', '-append', 'a b', '--', 'true']
  const { code, stdout } = await cpuVm(args)
  t.equal(code, 0)
  const [comment, virtiofsd, qemu, cpu] = stdout.toString().split('\n')
  t.match(comment, /^# .*virtiofs-src.sock$/)
  t.match(virtiofsd, /source=\/usr|--shared-dir=\/usr/)
  t.match(qemu, /^qemu-system-x86_64 .* -append '[^']*a b[^']*' -S$/)
  t.equal(cpu, 'cpu NAME true')
  nothingIsLeft(t, runtime)
})

function privateCache(t: Test): string {
  const before = process.env['XDG_CACHE_HOME']
  const directory = temporaryDirectory(t)
  process.env['XDG_CACHE_HOME'] = directory
  t.teardown(() => {
    if (before === undefined) delete process.env['XDG_CACHE_HOME']
    else process.env['XDG_CACHE_HOME'] = before
  })
  return directory
}
