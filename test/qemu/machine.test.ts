// Real machines: a Debian kernel, whatever accelerator and transport work here.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { startMachine, stopMachine } from '../../qemu/machine.js'
import { listMachines, type MachineState, machineFiles, readState } from '../../qemu/machine-directory.js'
import { isAlive, type ProcessIdentity, waitForEnd } from '../../qemu/process-identity.js'
import { cpuVmRun } from '../fixtures/cpu-vm-command.js'
import { privateRuntime } from './private-runtime.js'
import { realKernel } from './real-kernel.js'

const launcher = join(import.meta.dirname, '../../src/bin/cpu-vm.js')

const processes = ({ qemu, virtiofsd }: MachineState): ProcessIdentity[] => [
  ...(qemu ? [qemu] : []),
  ...virtiofsd,
]

t.before(async () => {
  await realKernel()
})

t.test('a machine with a share: ready, listed, its name taken, stopped without a trace', async t => {
  privateRuntime(t)
  const shared = mkdtempSync('/tmp/vm-share-')
  t.teardown(() => rmSync(shared, { recursive: true }))
  const lines: string[] = []
  const vm = await startMachine({
    name: 'v',
    shares: [{ tag: 'src', hostPath: shared }],
    onMessage: line => lines.push(line),
  })
  t.ok(vm.bootMs > 0)
  t.not(vm.cid ?? vm.tcpPort, undefined)
  t.ok(lines.length === 0 || lines.some(line => /TCG|TCP/.test(line)), 'a fallback is told')
  const state = readState(vm.directory)!
  t.match(state, { name: 'v', ready: true, virtiofsd: { length: 1 } })
  t.ok(processes(state).every(isAlive))
  t.strictSame(
    listMachines().map(({ state }) => state.name),
    ['v'],
  )
  t.notOk(existsSync(machineFiles(vm.directory).initrd), 'its image is in the cache')
  t.match(readFileSync(machineFiles(vm.directory).sshConfig, 'utf8'), /^Host v\b/)
  await t.rejects(startMachine({ name: 'v' }), { code: 'ERR_CPU_VM_NAME_TAKEN' })

  await vm.close()
  await vm.close()
  t.match(await vm.exited, { kind: 'stopped' })
  t.notOk(processes(state).some(isAlive))
  t.notOk(existsSync(vm.directory))
  await t.rejects(stopMachine('v'), { code: 'ERR_CPU_VM_UNKNOWN' })
})

t.test('a kernel that panics is tried once more, then told with its last words', async t => {
  const runtime = privateRuntime(t)
  const { code, stderr, record } = await cpuVmRun(['-name', 'p', '-append', 'rdinit=/nosuch', '--', 'true'])
  t.equal(code, 125)
  t.match(record, {
    outcome: { kind: 'panic', phase: 'boot' },
    message: /^the guest's kernel panicked: Kernel panic - not syncing/,
    flakes: [/Kernel panic/],
    machine: { name: 'p' },
  })
  t.ok(record.console.some(line => line.includes('Kernel panic')))
  t.match(stderr, /^cpu-vm: boot flake, tried again: /m)
  t.notOk(existsSync(join(runtime, 'p')))
})

t.test('silence is not a panic', async t => {
  privateRuntime(t)
  const { code, record } = await cpuVmRun(['-snapshot', 'never', '-boot-timeout', '300ms', '--', 'true'])
  t.equal(code, 125)
  t.match(record, {
    outcome: { kind: 'boot-timed-out' },
    message: /not ready after 0.3 s: its cpud did not come up/,
  })
  t.strictSame(listMachines(), [])
})

t.test('an abort ends everything', async t => {
  const runtime = privateRuntime(t)
  const controller = new AbortController()
  const starting = startMachine({ name: 'a', signal: controller.signal })
  const state = await runningState(join(runtime, 'a'))
  controller.abort(new Error('enough'))
  await t.rejects(starting, { message: 'enough' })
  t.notOk(processes(state).some(isAlive))
  t.notOk(existsSync(join(runtime, 'a')))
})

t.test('a virtiofsd that dies is told as such', async t => {
  const runtime = privateRuntime(t)
  const starting = startMachine({ name: 'd', shares: [{ tag: 'src', hostPath: '/usr/share' }] })
  const state = await runningState(join(runtime, 'd'))
  process.kill(state.virtiofsd[0]!.pid, 'SIGKILL')
  await t.rejects(starting, { code: 'ERR_CPU_VM_SHARE', message: /virtiofsd for share src ended/ })
  t.notOk(processes(state).some(isAlive))
})

t.test(
  'start leaves a machine behind on purpose, and stop finds it, also one that nothing leads to',
  async t => {
    const runtime = privateRuntime(t)
    t.equal(await cpuVm('start', '-name', 'kept', '-net', 'none', '-qemu-arg', '-name', '-qemu-arg', 'x'), 0)
    const state = readState(join(runtime, 'kept'))!
    t.notOk(state.cid ?? state.tcpPort)
    t.equal(await cpuVm('exec', 'kept', '--', 'true'), 2)
    t.match(readFileSync(machineFiles(join(runtime, 'kept')).qemuLog, 'utf8'), / -name x$/m)
    t.ok(processes(state).every(isAlive))
    t.notOk(isAlive(state.launcher))
    t.equal(await cpuVm('stop', 'kept'), 0)
    t.notOk(processes(state).some(isAlive))
    t.notOk(existsSync(join(runtime, 'kept')))
  },
)

t.test('SIGINT while it boots: 130, and nothing is left', async t => {
  const runtime = privateRuntime(t)
  const child = spawn(process.execPath, [launcher, 'start', '-name', 'i'], { stdio: 'ignore' })
  const ended = once(child, 'exit')
  const state = await runningState(join(runtime, 'i'))
  child.kill('SIGINT')
  t.strictSame(await ended, [130, null])
  t.notOk(processes(state).some(isAlive))
  t.notOk(existsSync(join(runtime, 'i')))
})

t.test('a launcher killed in `run` takes its machine with it', async t => {
  const runtime = privateRuntime(t)
  const args = ['run', '-name', 'k', '-share', 'src=/usr/share', '--', 'sleep', '1000']
  const child = spawn(process.execPath, [launcher, ...args], { stdio: 'ignore' })
  const ended = once(child, 'exit')
  const state = await runningState(join(runtime, 'k'))
  child.kill('SIGKILL')
  await ended
  t.ok(await waitForEnd(processes(state), 10_000))
})

t.test('wrong usage and wrong kernels', async t => {
  privateRuntime(t)
  t.equal(await cpuVm('start', '-nosuch'), 2)
  t.equal(await cpuVm('strat'), 2)
  t.equal(await cpuVm('start', '-share', 'x'), 2)
  t.equal(await cpuVm('start', '-kernel', '/etc/passwd'), 125)
  t.equal(await cpuVm('start', '-kernel', '/nosuch'), 125)
  t.equal(await cpuVm('stop', 'nosuch'), 125)
  t.equal(await cpuVm('list'), 0)
  t.equal(await cpuVm('start', '-help'), 0)
})

/** Resolves when QEMU runs. */
async function runningState(directory: string): Promise<MachineState> {
  for (;;) {
    const state = readState(directory)
    if (state?.qemu !== undefined) return state
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}

/** The exit code of a cpu-vm command; its words become comments of the test. */
async function cpuVm(...args: string[]): Promise<number | null> {
  const child = spawn(process.execPath, [launcher, ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = once(child, 'exit')
  for await (const line of createInterface({ input: child.stderr })) t.comment(line)
  return (await ended)[0]
}
