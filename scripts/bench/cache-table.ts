// Table: what each way to cache makes of the same work, in seconds and in requests: the modes of 9P, and the policies of
// FUSE. One guest of a kernel that has all modes, then one of an older kernel; in each, a session per mode, and they
// take turns.
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fetchDebianKernel } from '../../qemu/debian-kernel.js'
import { type Kernel, type Machine, startMachine } from '../../qemu/index.js'
import { CpuError } from '../../src/errors.js'
import { CACHE_POLICIES } from '../../src/fuse/session.js'
import type { FileProtocol } from '../../src/namespace/file-protocol.js'
import { CACHE_MODES } from '../../src/namespace/ninep-mount.js'
import { packageRoot } from '../../src/version.js'
import { GuestSession } from './guest-session.js'
import { makeWork } from './guest-work.js'
import type { BenchOptions, BenchRow, BenchTable } from './table.js'

export interface CacheTableOptions extends Partial<BenchOptions> {
  readonly signal?: AbortSignal | undefined
}

const FULL = { files: 200, mebibytes: 16, sources: 1 }
const QUICK = { files: 50, mebibytes: 4, sources: 1 }
const REPEAT = 3
/** For the lines of a trace that the session's output has overtaken. */
const TRACE_DELAY_MS = 300

/** As cache-agent.py has them. */
const WORKS = ['node', 'python', 'find', 'tar', 'git', 'read', 'write', 'write-4k'] as const
type Work = (typeof WORKS)[number]

/** By work: the first time, and again at once. */
type Samples = Record<Work, { cold: number[]; warm: number[] }>

/** A protocol and what `-cache` says of it. */
export interface Mode {
  readonly protocol: FileProtocol
  readonly cache: string
}

/** All there are. */
export const MODES: readonly Mode[] = [
  ...CACHE_MODES.map(cache => ({ protocol: '9p', cache }) as const),
  ...CACHE_POLICIES.map(cache => ({ protocol: 'fuse', cache }) as const),
]
const OLDER_MODES = MODES.filter(({ cache }) => !['readahead', 'loose'].includes(cache))

function nameOf({ protocol, cache }: Mode): string {
  return `${protocol} ${cache}`
}

interface Column {
  readonly seconds: Samples
  readonly requests: Samples
  /** Of the first time, by message. */
  readonly messages: Partial<Record<Work, string>>
}

/** Measures. Throws CpuError, MachineError. */
export async function cacheTable(options: CacheTableOptions = {}): Promise<BenchTable> {
  const { quick = false, repeat = quick ? 1 : REPEAT, say = () => undefined, signal } = options
  const sizes = quick ? QUICK : FULL
  const own = await fetchDebianKernel({ onProgress: say, signal })
  const hasAllModes = own.release.localeCompare('6.4', 'en', { numeric: true }) >= 0
  const recent = hasAllModes
    ? own
    : await fetchDebianKernel({ flavour: 'backports/amd64', onProgress: say, signal })
  const work = mkdtempSync(path.join(os.tmpdir(), 'cpu-bench-'))
  const columns = new Map<string, Column>()
  try {
    say('making the files to work on')
    await makeWork(work, sizes)
    const scene = { work, repeat, say, signal, columns }
    await measureKernel({ ...scene, kernel: recent, modes: MODES })
    if (!hasAllModes) await measureKernel({ ...scene, kernel: own, modes: OLDER_MODES })
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
  const facts = [
    `${sizes.files} files of 1 to 8 KiB, ${sizes.mebibytes} MiB; ${repeat} repetitions, the modes taking turns`,
    "the guest's caches are dropped before each row, except in those called again",
  ]
  return asTable(columns, sizes, facts)
}

interface Scene {
  readonly kernel: Kernel
  readonly modes: readonly Mode[]
  readonly work: string
  readonly repeat: number
  readonly say: (line: string) => void
  readonly signal: AbortSignal | undefined
  readonly columns: Map<string, Column>
}

async function measureKernel(scene: Scene): Promise<void> {
  const { kernel, modes, say, signal, columns } = scene
  await using machine = await startMachine({
    name: `bench-cache-${process.pid}`,
    kernel: kernel.image,
    onMessage: say,
    signal,
  })
  const [version] = /^\d+\.\d+/.exec(kernel.release) ?? [kernel.release]
  const measured = new Map<Mode, Column>()
  for (const mode of modes) {
    const column: Column = { seconds: noSamples(), requests: noSamples(), messages: {} }
    measured.set(mode, column)
    columns.set(`${nameOf(mode)} ${version}`, column)
  }
  await measureSeconds(scene, machine, measured)
  for (const [mode, column] of measured) await countRequests(scene, machine, mode, column)
}

function noSamples(): Samples {
  return Object.fromEntries(WORKS.map(work => [work, { cold: [], warm: [] }])) as unknown as Samples
}

function sessionArguments({ work }: Scene, machine: Machine, mode: Mode, flags: readonly string[]): string[] {
  const agent = path.join('/tmp/cpu', packageRoot(), 'scripts/bench/cache-agent.py')
  const data = path.join('/tmp/cpu', work)
  const node = path.join('/tmp/cpu', process.execPath)
  const how = ['-files', mode.protocol, '-cache', mode.cache]
  return [...flags, ...how, machine.name, 'python3', '-I', agent, data, node]
}

async function measureSeconds(
  scene: Scene,
  machine: Machine,
  columns: ReadonlyMap<Mode, Column>,
): Promise<void> {
  const open = new Map<Mode, GuestSession>()
  try {
    for (const mode of columns.keys())
      open.set(mode, await GuestSession.start(sessionArguments(scene, machine, mode, [])))
    for (let repetition = 1; repetition <= scene.repeat; repetition++)
      for (const work of WORKS) await takeTurns(scene, `${repetition}/${scene.repeat}`, work, columns, open)
  } finally {
    for (const session of open.values()) await session[Symbol.asyncDispose]()
  }
}

async function takeTurns(
  { say, signal }: Scene,
  turn: string,
  work: Work,
  columns: ReadonlyMap<Mode, Column>,
  open: ReadonlyMap<Mode, GuestSession>,
): Promise<void> {
  const checks = new Map<string, string>()
  for (const [mode, session] of open) {
    signal?.throwIfAborted()
    const { coldMs = Number.NaN, warmMs = Number.NaN, check } = await session.work(work, 'both')
    const { cold, warm } = columns.get(mode)!.seconds[work]
    cold.push(coldMs / 1000)
    warm.push(warmMs / 1000)
    checks.set(nameOf(mode), check)
    say(`${turn} ${work}, ${nameOf(mode)}: ${Math.round(coldMs)} ms, again ${Math.round(warmMs)} ms`)
  }
  if (new Set(checks.values()).size === 1) return
  throw new CpuError('ERR_CPU_BENCH', `${work}: the modes differ: ${JSON.stringify([...checks])}`)
}

async function countRequests(scene: Scene, machine: Machine, mode: Mode, column: Column): Promise<void> {
  const counts = new Map<string, number>()
  const count = (name: string) => void counts.set(name, (counts.get(name) ?? 0) + 1)
  await using session = await GuestSession.start(sessionArguments(scene, machine, mode, ['-dbg9p']), count)
  for (const work of WORKS) {
    for (const pass of ['cold', 'warm'] as const) {
      scene.signal?.throwIfAborted()
      await setTimeout(TRACE_DELAY_MS)
      counts.clear()
      await session.work(work, pass)
      await setTimeout(TRACE_DELAY_MS)
      column.requests[work][pass].push([...counts.values()].reduce((sum, n) => sum + n, 0))
      if (pass === 'cold') column.messages[work] = formatCounts(counts)
    }
    scene.say(`${work}, ${nameOf(mode)}: ${column.requests[work].cold[0]} requests: ${column.messages[work]}`)
  }
}

function formatCounts(counts: ReadonlyMap<string, number>): string {
  const sorted = [...counts].sort(([, a], [, b]) => b - a)
  return sorted.map(([name, n]) => `${name} ${n}`).join(', ')
}

function asTable(columns: Map<string, Column>, sizes: typeof FULL, facts: readonly string[]): BenchTable {
  const names: Readonly<Record<Work, string>> = {
    node: 'node --version',
    python: 'python: asyncio, json, email',
    find: `find, ${sizes.files} files`,
    tar: `read ${sizes.files} files`,
    git: 'git status',
    read: `read ${sizes.mebibytes} MiB`,
    write: `write ${sizes.mebibytes} MiB, fsync`,
    'write-4k': 'write 256 x 4 KiB',
  }
  const row = (work: Work, what: 'seconds' | 'requests', pass: 'cold' | 'warm'): BenchRow => ({
    name: pass === 'cold' ? names[work] : `${names[work]}, again`,
    unit: what === 'seconds' ? 's' : 'requests',
    better: 'lower',
    samples: Object.fromEntries([...columns].map(([name, column]) => [name, column[what][work][pass]])),
  })
  const kinds = (['seconds', 'requests'] as const).flatMap(what =>
    (['cold', 'warm'] as const).map(pass => ({ what, pass })),
  )
  const messages = WORKS.flatMap(work =>
    [...columns].map(([name, column]) => `${names[work]}, ${name}: ${column.messages[work] ?? 'nothing'}`),
  )
  return {
    name: 'cache',
    title: 'What the kernel there keeps',
    columns: [...columns.keys()],
    rows: WORKS.flatMap(work => kinds.map(({ what, pass }) => row(work, what, pass))),
    notes: [...facts, ...messages],
  }
}
