// Table 2: what a guest's programs get from each way to the files of its host. Where KVM and vhost-vsock do not work,
// the host is the nested lab's outer guest, in which both do.
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { execa } from 'execa'
import { probeKvm, probeVhostVsock } from '../../qemu/probe.js'
import { CpuError } from '../../src/errors.js'
import { packageRoot } from '../../src/version.js'
import { startNestedLab } from '../nested-lab.js'
import {
  type GuestPlan,
  type GuestResult,
  measureGuest,
  prepareGuest,
  WAYS,
  type Way,
  WORKS,
  type Work,
} from './guest-host.js'
import type { ProcessorTimes } from './guest-profile.js'
import type { WorkSizes } from './guest-work.js'
import { need } from './needs.js'
import { median } from './report.js'
import type { BenchGoal, BenchOptions, BenchRow, BenchTable } from './table.js'

export interface GuestTableOptions extends Partial<BenchOptions> {
  readonly signal?: AbortSignal | undefined
  /** Of measuring; 40 unless given. What is not reached then has fewer samples, or none. */
  readonly limitMinutes?: number | undefined
  /** No second pass. */
  readonly once?: boolean | undefined
  /** Fewer than all, for a first look. */
  readonly ways?: readonly Way[] | undefined
  readonly works?: readonly Work[] | undefined
  readonly sizes?: WorkSizes | undefined
}

const REPEAT = 3
const LIMIT_MINUTES = 40
const FULL: WorkSizes = { files: 5000, mebibytes: 200, sources: 12 }
/** A guest emulated within an emulated one is some hundred times slower: what takes minutes here would take hours. */
const NESTED: WorkSizes = { files: 200, mebibytes: 20, sources: 2 }
const QUICK = {
  real: { files: 1000, mebibytes: 50, sources: 4 },
  nested: { files: 40, mebibytes: 4, sources: 1 },
}

/** Measures; makes the guest, and the nested lab where it must be. Throws CpuError, MachineError. */
export async function guestTable(options: GuestTableOptions = {}): Promise<BenchTable> {
  const say = options.say ?? (() => undefined)
  await need(['gcc', 'sshd', 'sshfs'], say)
  const isReal = probeVhostVsock().works && (await probeKvm()).works
  const usual = options.quick ? QUICK[isReal ? 'real' : 'nested'] : isReal ? FULL : NESTED
  const plan: GuestPlan = {
    sizes: options.sizes ?? usual,
    repeat: options.repeat ?? REPEAT,
    limitMinutes: options.limitMinutes ?? LIMIT_MINUTES,
    ...(options.once === undefined ? {} : { once: options.once }),
    ...(options.ways === undefined ? {} : { ways: options.ways }),
    ...(options.works === undefined ? {} : { works: options.works }),
  }
  const how = { onMessage: say, signal: options.signal }
  const prepared = mkdtempSync(path.join(os.tmpdir(), 'cpu-bench-'))
  try {
    say('making the files to work on')
    await prepareGuest(prepared, plan.sizes)
    const measure = isReal ? measureGuest : measureNested
    return asTable(plan, await measure(plan, prepared, how), isReal)
  } finally {
    rmSync(prepared, { recursive: true, force: true })
  }
}

async function measureNested(
  plan: GuestPlan,
  prepared: string,
  options: { onMessage: (line: string) => void; signal: AbortSignal | undefined },
): Promise<GuestResult> {
  const { onMessage, signal } = options
  await using lab = await startNestedLab({
    memoryMiB: OUTER_MEMORY_MIB,
    onMessage,
    ...(signal === undefined ? {} : { signal }),
  })
  const self = [
    process.execPath,
    'dist/scripts/bench/guest-nested.js',
    JSON.stringify(plan),
    lab.there(prepared),
  ]
  const command = [...lab.flags, lab.outer.name, ...lab.command(self)]
  const child = execa(process.execPath, [`${packageRoot()}/dist/bundle/cpu.cjs`, ...command], {
    reject: false,
    stdin: 'ignore',
    ...(signal === undefined ? {} : { cancelSignal: signal }),
  })
  void (async () => {
    for await (const line of child.iterable({ from: 'stderr' })) onMessage(line)
  })().catch(() => undefined)
  const { exitCode, stdout, stderr } = await child
  signal?.throwIfAborted()
  if (exitCode === 0) return JSON.parse(stdout) as GuestResult
  throw new CpuError(
    'ERR_CPU_BENCH',
    `measuring in the nested lab: exit code ${exitCode}: ${stderr.slice(-1000)}`,
  )
}

/** The guest in it has 1536 MiB, the files up to 500. */
const OUTER_MEMORY_MIB = 4096

function asTable(plan: GuestPlan, result: GuestResult, isReal: boolean): BenchTable {
  const rows = WORKS.flatMap(work => {
    const samples = result.times[work]
    return samples === undefined ? [] : workRows(work, plan.sizes, samples)
  })
  const { files, mebibytes, sources } = plan.sizes
  const place = isReal
    ? 'a guest on KVM'
    : 'a guest on emulated KVM in an emulated machine: ratios tell, times do not'
  const goals = 'goals: 9p direct as fast as virtio-9p; in find, tar and git 5 times as fast as 9p ssh/vsock'
  return {
    name: 'guest',
    title: "Work in a guest on its host's files",
    columns: WAYS,
    rows,
    notes: [
      `${place}; Linux ${result.kernel} there; up to ${plan.repeat} repetitions, one way after another in the same guest`,
      `${files} files, ${mebibytes} MiB, ${sources + 1} C files`,
      "programs lie in the guest's memory; its caches are dropped before each row, except in those called again",
      'both 9P mounts with cache=mmap, access=any; msize 1048576 for ours, 512000 for virtio-9p, which has no larger',
      goals,
      ...Object.entries(result.requests).map(([work, counts]) => requestNote(work as Work, counts)),
      'processor time of both passes and what prepares them: the client (our file server), QEMU, the whole host:',
      ...Object.entries(result.times).map(([work, ways]) => processorNote(work as Work, ways)),
      ...result.notes,
    ],
  }
}

const NAMES: Readonly<Record<Work, (sizes: WorkSizes) => string>> = {
  find: ({ files }) => `find, ${files} files`,
  tar: ({ files }) => `tar, ${files} files`,
  read: ({ mebibytes }) => `read ${mebibytes} MiB`,
  write: ({ mebibytes }) => `write ${mebibytes} MiB, fsync`,
  git: ({ files }) => `git status, ${files} files`,
  python: () => 'python: asyncio, json, email',
  make: ({ sources }) => `make, ${sources + 1} C files`,
}

const METADATA_WORKS: ReadonlySet<Work> = new Set(['find', 'tar', 'git'])

type Samples = NonNullable<GuestResult['times'][Work]>

function workRows(work: Work, sizes: WorkSizes, times: Samples): BenchRow[] {
  const isTransfer = work === 'read' || work === 'write'
  const value = (ms: number) => (isTransfer ? (sizes.mebibytes * 1000) / ms : ms / 1000)
  const row = (name: string, pass: 'cold' | 'warm'): BenchRow => ({
    name,
    unit: isTransfer ? 'MiB/s' : 's',
    better: isTransfer ? 'higher' : 'lower',
    samples: Object.fromEntries(
      Object.entries(times).map(([way, samples]) => [way, samples[pass].map(value)] as const),
    ),
    goals: [
      { column: '9p direct', reference: 'virtio-9p', atLeast: 1 },
      ...(METADATA_WORKS.has(work) ? [overSsh] : []),
    ],
  })
  const name = NAMES[work](sizes)
  const again = Object.values(times).some(({ warm }) => warm.length > 0)
  return again ? [row(name, 'cold'), row(`${name}, again`, 'warm')] : [row(name, 'cold')]
}

const overSsh: BenchGoal = { column: '9p direct', reference: '9p ssh/vsock', atLeast: 5 }

function processorNote(work: Work, ways: Samples): string {
  const part = (samples: readonly ProcessorTimes[], key: keyof ProcessorTimes) =>
    Math.round(median(samples.map(times => times[key])))
  const each = Object.entries(ways).map(([way, { processor }]) => {
    const [client, qemu, host] = (['client', 'qemu', 'host'] as const).map(key => part(processor, key))
    return `${way} ${client}, ${qemu}, ${host} ms`
  })
  return `  ${work}: ${each.join('; ')}`
}

function requestNote(work: Work, counts: Readonly<Record<string, number>>): string {
  const sorted = Object.entries(counts).sort(([, a], [, b]) => b - a)
  const sum = sorted.reduce((total, [, count]) => total + count, 0)
  return `9P requests of ours, ${work}: ${sum}: ${sorted.map(([name, count]) => `${name} ${count}`).join(', ')}`
}
