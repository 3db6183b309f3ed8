// Table "server": the file server alone, over a unix socket, against diod and plain system calls. All three get the
// same work from one program, load.c.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import { CpuError } from '../../src/errors.js'
import { packageRoot } from '../../src/version.js'
import { need } from './needs.js'
import type { BenchGoal, BenchOptions, BenchRow, BenchTable } from './table.js'

const COLUMNS = ['cpu', 'diod', 'system calls'] as const
type Column = (typeof COLUMNS)[number]

const asFastAsDiod: BenchGoal = { column: 'cpu', reference: 'diod', atLeast: 1 }
const twiceDiod: BenchGoal = { column: 'cpu', reference: 'diod', atLeast: 2 }
const thirdOfSystemCalls: BenchGoal = { column: 'cpu', reference: 'system calls', atLeast: 1 / 3 }

interface Work {
  readonly name: string
  readonly unit: 'op/s' | 'MB/s'
  /** A work of load.c. */
  readonly work: 'stat' | 'random' | 'sequential' | 'write' | 'list' | 'create'
  readonly depth: number
  readonly msize: number
  readonly goals: readonly BenchGoal[]
}

const KiB = 1024
const deepGoals = [twiceDiod, thirdOfSystemCalls]

function work(name: string, kind: Work['work'], depth: number, msize: number): Work {
  const unit = kind === 'sequential' || kind === 'write' ? 'MB/s' : 'op/s'
  return { name, unit, work: kind, depth, msize, goals: depth > 1 ? deepGoals : [asFastAsDiod] }
}

const WORKS: readonly Work[] = [
  work('walk+getattr+clunk, depth 1', 'stat', 1, 1024 * KiB),
  work('walk+getattr+clunk, depth 32', 'stat', 32, 1024 * KiB),
  work('4 KiB random read, depth 1', 'random', 1, 1024 * KiB),
  work('4 KiB random read, depth 32', 'random', 32, 1024 * KiB),
  work('sequential read, msize 64 KiB', 'sequential', 1, 64 * KiB),
  work('sequential read, msize 512 KiB', 'sequential', 1, 512 * KiB),
  work('sequential read, msize 1 MiB', 'sequential', 1, 1024 * KiB),
  work('sequential write, msize 1 MiB', 'write', 1, 1024 * KiB),
  work('list 10,000 entries', 'list', 1, 1024 * KiB),
  work('create+write+unlink', 'create', 1, 1024 * KiB),
]

/** Many short samples: what disturbs a machine comes and goes, and spoils some of them rather than a bit of all. */
const SAMPLE_SECONDS = 0.1
const REPETITIONS = 31
/** Before them, and not counted: for caches and compilers. */
const WARM_UP_SECONDS = 0.5
const PRIORITY = -15

export async function measureServer(options: BenchOptions): Promise<BenchTable> {
  await need(['gcc', 'diod'], options.say)
  // In memory where possible: the servers are to be measured, not a disk.
  const directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir(), 'bench-server-'))
  const servers: Server[] = []
  const priority = os.getPriority()
  const raised = raisePriority()
  try {
    const tree = join(directory, 'tree')
    makeTree(tree)
    const load = join(directory, 'load')
    await execa('gcc', ['-O2', '-o', load, join(packageRoot(), 'scripts/bench/load.c')])
    servers.push(await startCpu(directory, tree), await startDiod(directory, tree))
    const targets: Target[] = [...servers, { column: 'system calls', address: 'local', tree }]
    const table = await measure(
      load,
      targets,
      options,
      directory.startsWith('/dev/shm') ? 'tmpfs' : 'disk, cached',
    )
    return { ...table, notes: [...table.notes, ...raised] }
  } finally {
    os.setPriority(priority)
    for (const { process: child } of servers) await stop(child)
    rmSync(directory, { recursive: true, force: true })
  }
}

/**
 * What else the machine does is not to be measured, and a server of many threads would get more of a busy processor
 * than one of a single thread. Programs started from here on inherit it. Returns a note, if it could be done.
 */
function raisePriority(): string[] {
  try {
    os.setPriority(PRIORITY)
    return [`all of them at nice ${PRIORITY}`]
  } catch {
    return [] // only root may
  }
}

/** Whom load.c is to ask, and for what. */
interface Target {
  readonly column: Column
  readonly address: string
  readonly tree: string
}

interface Server extends Target {
  readonly process: ChildProcess
}

async function measure(
  load: string,
  targets: readonly Target[],
  options: BenchOptions,
  files: string,
): Promise<BenchTable> {
  const repetitions = options.repeat ?? (options.quick ? 1 : REPETITIONS)
  const rows: BenchRow[] = []
  const smaller = new Set<string>()
  for (const work of WORKS) {
    options.say(work.name)
    const samples: Record<string, number[]> = {}
    for (const target of targets) {
      const { msize } = await sample(load, target, work, options.quick ? SAMPLE_SECONDS : WARM_UP_SECONDS)
      if (msize < work.msize) smaller.add(`${target.column} grants messages of ${msize / KiB} KiB at most`)
    }
    for (let repetition = 0; repetition < repetitions; repetition++) {
      for (const target of targets) {
        const { rate } = await sample(load, target, work, SAMPLE_SECONDS)
        samples[target.column] = [...(samples[target.column] ?? []), rate]
      }
    }
    rows.push({ name: work.name, unit: work.unit, better: 'higher', samples, goals: work.goals })
  }
  return {
    name: 'server',
    title: 'The file server alone, over a unix socket',
    columns: COLUMNS,
    reference: 'diod',
    rows,
    notes: [
      `one client, ${repetitions} repetitions of ${SAMPLE_SECONDS} s, one server after the other in each; files on ${files}`,
      'system calls: one thread doing the same one after the other, whatever the depth',
      'sequential reads and writes, the list and create+write+unlink: depth 1; unlink is Tremove, as diod 1.0.24 has no Tunlinkat',
      ...smaller,
    ],
  }
}

async function sample(
  load: string,
  { address, tree }: Target,
  { work, unit, depth, msize }: Work,
  seconds: number,
): Promise<{ rate: number; msize: number }> {
  const args = [address, tree, work, depth, msize, seconds].map(String)
  const { stdout } = await execa(load, args, { timeout: 60_000 })
  const [operations = 0, elapsed = 0, bytes = 0, granted = 0] = stdout.split(' ').map(Number)
  return { rate: unit === 'MB/s' ? bytes / elapsed / 1e6 : operations / elapsed, msize: granted }
}

/** What load.c expects to find. */
function makeTree(tree: string): void {
  for (const name of ['files', 'list', 'scratch']) mkdirSync(join(tree, name), { recursive: true })
  for (let i = 0; i < 1000; i++) writeFileSync(join(tree, `files/file-${i}`), 'x'.repeat(100))
  for (let i = 0; i < 10_000; i++) writeFileSync(join(tree, `list/entry-${i}`), '')
  const data = new BigUint64Array((64 << 20) / 8).map((_, i) => BigInt(i * 8))
  writeFileSync(join(tree, 'data'), data)
  writeFileSync(join(tree, 'scratch/data'), data)
}

async function startCpu(directory: string, tree: string): Promise<Server> {
  const socket = join(directory, 'cpu.sock')
  const bundle = join(packageRoot(), 'dist/bundle/cpu.cjs')
  const child = await start(process.execPath, [bundle, '-srv', `unix:${socket}`, '-root', tree], socket)
  return { column: 'cpu', address: socket, tree: '', process: child }
}

async function startDiod(directory: string, tree: string): Promise<Server> {
  const socket = join(directory, 'diod.sock')
  const path = `${process.env['PATH']}:/usr/sbin`
  const args = ['-f', '-n', '-l', socket, '-e', tree, '-L', join(directory, 'diod.log')]
  const child = await start('diod', args, socket, path)
  return { column: 'diod', address: socket, tree, process: child }
}

/** Starts a server and waits for its socket. */
async function start(
  command: string,
  args: readonly string[],
  socket: string,
  path = process.env['PATH'],
): Promise<ChildProcess> {
  const child = spawn(command, args, { stdio: 'ignore', env: { ...process.env, PATH: path } })
  child.on('error', () => {}) // it has no exit code then, and no socket
  for (let tries = 0; !existsSync(socket); tries++) {
    if (child.exitCode !== null || tries === 200) {
      child.kill()
      throw new CpuError('ERR_CPU_BENCH_SERVER', `${command} did not start: ${args.join(' ')}`)
    }
    await sleep(50)
  }
  return child
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
}
