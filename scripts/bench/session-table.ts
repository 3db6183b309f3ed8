// Table 3: what it takes to run a command that does nothing, from the shell's point of view, by `cpu` and by `ssh`, in
// the same guest. OpenSSH's server has a small system of its own there, in the guest's memory.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { copyFile } from 'node:fs/promises'
import { connect } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { execa } from 'execa'
import { freePort } from '../../qemu/addresses.js'
import { type Machine, startMachine } from '../../qemu/index.js'
import { CpuError } from '../../src/errors.js'
import { packageRoot } from '../../src/version.js'
import { GuestSession, startCpu } from './guest-session.js'
import { sshdConfig, writeSshdFiles } from './guest-sshd.js'
import { installSystem, SHARED_SYSTEM, SYSTEM, systemFstab } from './guest-system.js'
import { copyPrograms } from './guest-work.js'
import { need } from './needs.js'
import { countOf, describeGroup, groupRequests } from './session-requests.js'
import type { BenchGoal, BenchOptions, BenchTable } from './table.js'

type SessionOptions = Partial<BenchOptions> & { readonly signal?: AbortSignal | undefined }

const REPEAT = 15
const QUICK_REPEAT = 3
const TRUE = `${SYSTEM}/usr/bin/true`
const WAYS = ['ssh', 'cpu', 'cpu -files 9p', 'cpu -9p=false', 'cpu vsock'] as const
type Way = (typeof WAYS)[number]

/** Measures. Throws CpuError, MachineError. */
export async function sessionTable(options: SessionOptions = {}): Promise<BenchTable> {
  const say = options.say ?? (() => undefined)
  const repeat = options.repeat ?? (options.quick ? QUICK_REPEAT : REPEAT)
  await need(['sshd'], say)
  const staging = mkdtempSync(path.join(os.tmpdir(), 'cpu-bench-'))
  try {
    const system = path.join(staging, SHARED_SYSTEM)
    await copyPrograms(system, ['bash', 'chroot', 'cp', 'mkfifo', 'mount', 'sh', 'sshd', 'sync', 'true'])
    await using machine = await startMachine({
      name: `bench-${process.pid}`,
      net: 'both',
      shares: [{ tag: 'staging', hostPath: staging }],
      onMessage: say,
      signal: options.signal,
    })
    const sshPort = await forwardPort(machine, 22)
    const commands = sessionCommands(machine, staging, sshPort)
    await completeSystem(system, path.join(staging, 'sshd'))
    await installSystem(machine, 'staging', staging)
    await using guest = await startSshdThere(machine)
    const failures: string[] = []
    const note = (line: string) => {
      failures.push(line)
      say(line)
    }
    const samples = await measure({ commands, guest, repeat, say, note, signal: options.signal })
    return asTable({ samples, repeat, machine, trace: await traceOf(commands['cpu -files 9p']!), failures })
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
}

interface Command {
  readonly program: string
  readonly args: readonly string[]
}

type Commands = Partial<Record<Way, Command>>

function sessionCommands(machine: Machine, staging: string, sshPort: number): Commands {
  const files = writeSshdFiles(path.join(staging, 'sshd'))
  writeFileSync(
    path.join(files.directory, 'sshd_config'),
    sshdConfig({ directory: '', address: '0.0.0.0', port: 22 }),
  )
  const knownHosts = path.join(staging, 'known_hosts')
  writeFileSync(knownHosts, `[127.0.0.1]:${sshPort} ${files.hostPublicKey}\n`)
  const hostKey = path.join(staging, 'host.pub')
  writeFileSync(hostKey, `${machine.hostKey}\n`)
  const identity = path.join(files.directory, files.clientKey)
  const sshOptions = ['IdentitiesOnly=yes', `UserKnownHostsFile=${knownHosts}`, 'StrictHostKeyChecking=yes']
  const login = ['-key', path.join(machine.directory, 'id_ed25519'), '-hk', hostKey, '-user', 'root']
  const byTcp = ['-net', 'tcp', '-sp', String(machine.tcpPort), ...login]
  const cpu = (...args: string[]): Command => ({ program: 'cpu', args })
  return {
    ssh: {
      program: 'ssh',
      args: [
        ...['-F', 'none', '-i', identity, '-p', String(sshPort)],
        ...sshOptions.flatMap(option => ['-o', option]),
        ...['root@127.0.0.1', 'true'],
      ],
    },
    cpu: cpu(...byTcp, '127.0.0.1', 'true'),
    'cpu -files 9p': cpu('-files', '9p', ...byTcp, '127.0.0.1', 'true'),
    'cpu -9p=false': cpu('-9p=false', ...byTcp, '127.0.0.1', TRUE),
    ...(machine.cid === undefined ? {} : { 'cpu vsock': cpu('-net', 'vsock', String(machine.cid), 'true') }),
  }
}

/** What OpenSSH's server needs in it: accounts, directories, its keys and its configuration. */
async function completeSystem(system: string, sshd: string): Promise<void> {
  for (const name of ['dev', 'proc', 'etc', 'root', 'run/sshd', 'tmp'])
    mkdirSync(path.join(system, name), { recursive: true })
  for (const name of ['bin', 'lib', 'lib64']) symlinkSync(`usr/${name}`, path.join(system, name))
  const accounts = ['root:x:0:0::/root:/bin/sh', 'sshd:x:100:65534::/run/sshd:/bin/sh']
  writeFileSync(path.join(system, 'etc/passwd'), `${accounts.join('\n')}\n`)
  writeFileSync(path.join(system, 'etc/group'), 'root:x:0:\n')
  for (const name of readdirSync(sshd)) await copyFile(path.join(sshd, name), path.join(system, name))
  const script = path.join(packageRoot(), 'scripts/bench/session-guest.sh')
  await copyFile(script, path.join(system, 'guest.sh'))
}

/** Starts OpenSSH's server in the small system, in a session that stays. */
function startSshdThere(machine: Machine): Promise<GuestSession> {
  const script = [
    'PATH=/usr/bin:/usr/sbin',
    `cd ${SYSTEM}`,
    'mkfifo waiting',
    'mount --rbind /dev dev',
    'mount --rbind /proc proc',
    'exec chroot . /usr/bin/bash /guest.sh',
  ].join(' && ')
  const fstab = path.join(machine.directory, 'bench-fstab')
  writeFileSync(fstab, systemFstab())
  return GuestSession.start(['-9p=false', '-fstab', fstab, machine.name, '/usr/bin/bash', '-c', script])
}

interface Measurement {
  readonly commands: Commands
  readonly guest: GuestSession
  readonly repeat: number
  readonly say: (line: string) => void
  readonly note: (line: string) => void
  readonly signal: AbortSignal | undefined
}

type Samples = Record<'warm' | 'cold', Partial<Record<Way, number[]>>>

async function measure({ commands, guest, repeat, say, note, signal }: Measurement): Promise<Samples> {
  const samples: Samples = { warm: {}, cold: {} }
  // What is never seen again: the first use of each program, here and there.
  for (const way of WAYS) if (commands[way] !== undefined) await timeOf(commands[way])
  for (let i = 0; i < repeat; i++) {
    for (const pass of ['cold', 'warm'] as const) {
      for (let j = 0; j < WAYS.length; j++) {
        signal?.throwIfAborted()
        const way = WAYS[(i + j) % WAYS.length]!
        const command = commands[way]
        if (command === undefined) continue
        if (pass === 'cold') await guest.ask('drop', 'dropped')
        const ms = await timeOf(command).catch((error: Error) => {
          note(`failed once: ${way}, ${pass}: ${error.message.split('\n').at(-1)}`)
        })
        if (ms === undefined) continue
        samples[pass][way] = [...(samples[pass][way] ?? []), ms]
        say(`${i + 1}/${repeat} ${way}, ${pass}: ${Math.round(ms)} ms`)
      }
    }
  }
  return samples
}

const LIMIT_MS = 120_000
const CPU = path.join(packageRoot(), 'dist/bundle/cpu.cjs')

async function timeOf({ program, args }: Command): Promise<number> {
  const [file, words] = program === 'cpu' ? [process.execPath, [CPU, ...args]] : [program, args]
  const start = performance.now()
  await execa(file, words, { cwd: '/', stdin: 'ignore', timeout: LIMIT_MS })
  return performance.now() - start
}

/** The 9P messages of one run. */
async function traceOf({ args }: Command): Promise<string[]> {
  const child = startCpu(['-dbg9p', ...args])
  child.stdin?.end()
  child.stdout?.resume()
  let said = ''
  child.stderr?.on('data', chunk => {
    said += chunk
  })
  await new Promise(resolve => child.once('close', resolve))
  const mark = 'cpu: 9p: '
  return said.split('\n').flatMap(line => (line.startsWith(mark) ? [line.slice(mark.length)] : []))
}

/** Asks QEMU's monitor to lead a free port of 127.0.0.1 to a port of the guest. Throws ERR_CPU_BENCH. */
async function forwardPort(machine: Machine, guestPort: number): Promise<number> {
  const port = await freePort()
  const line = `hostfwd_add network tcp:127.0.0.1:${port}-:${guestPort}`
  const command = { execute: 'human-monitor-command', arguments: { 'command-line': line }, id: 'forward' }
  const socket = connect(path.join(machine.directory, 'qmp.sock'))
  try {
    socket.write(`${JSON.stringify({ execute: 'qmp_capabilities' })}\n${JSON.stringify(command)}\n`)
    let heard = ''
    for await (const chunk of socket.setTimeout(LIMIT_MS, () => socket.destroy())) {
      heard += chunk
      const answer = heard.split('\n').find(text => /"id": ?"forward"/.test(text) && text.endsWith('}\r'))
      if (answer === undefined) continue
      const { return: said = answer } = JSON.parse(answer) as { return?: string }
      if (said.trim() !== '') break
      return port
    }
    throw new CpuError('ERR_CPU_BENCH', `QEMU forwards no port to the guest: ${heard.trim()}`)
  } finally {
    socket.destroy()
  }
}

const goal = (column: Way): BenchGoal => ({ column, reference: 'ssh', atLeast: 1 / 1.3 })

function asTable(result: {
  samples: Samples
  repeat: number
  machine: Machine
  trace: readonly string[]
  failures: readonly string[]
}): BenchTable {
  const { samples, repeat, machine, trace, failures } = result
  const groups = groupRequests(trace)
  const row = (pass: 'warm' | 'cold', name: string) => ({
    name,
    unit: 'ms',
    better: 'lower' as const,
    samples: samples[pass] as Record<string, number[]>,
    goals: [goal('cpu'), goal('cpu -files 9p'), ...(machine.cid === undefined ? [] : [goal('cpu vsock')])],
  })
  return {
    name: 'session',
    title: 'A command that does nothing, in a guest',
    columns: WAYS,
    rows: [row('warm', 'host true, warm'), row('cold', "host true, the guest's caches dropped")],
    notes: [
      `${repeat} repetitions; user networking of QEMU for both, but where vsock is said`,
      'ssh and its server are of OpenSSH; its `true` lies in the guest, ours is read from this machine',
      `${countOf(groups)} requests of \`cpu -files 9p host true\`, by file:`,
      ...groups.map(group => `  ${describeGroup(group)}`),
      ...failures,
    ],
  }
}
