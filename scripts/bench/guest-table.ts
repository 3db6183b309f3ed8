// Table 2: what a guest's programs get from each way to the files of its host; and the same in the nested lab, where
// KVM and vhost-vsock exist whatever this machine has.
import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { execa } from 'execa'
import { probeKvm, probeVhostVsock } from '../../qemu/probe.js'
import { CpuError } from '../../src/errors.js'
import { packageRoot } from '../../src/version.js'
import { startNestedLab } from '../nested-lab.js'
import { type GuestPlan, type GuestResult, measureGuest, prepareGuest, type Requests } from './guest-host.js'
import type { ProcessorTimes } from './guest-profile.js'
import { ALL_WAYS, WAYS_BY_TCP, WAYS_BY_VSOCK, type Way } from './guest-ways.js'
import { WORKS, type Work, type WorkSizes, workName } from './guest-work.js'
import { need } from './needs.js'
import { median } from './report.js'
import type { BenchGoal, BenchOptions, BenchRow, BenchTable } from './table.js'

type GuestTableOptions = Partial<BenchOptions> & { readonly signal?: AbortSignal | undefined }

const REPEAT = 3
const LIMIT_MINUTES = 30

/** How much work a processor of that kind does in the time. */
interface Place {
  readonly what: string
  readonly full: WorkSizes
  readonly quick: WorkSizes
}

const PLACES = {
  real: {
    what: 'a guest on KVM',
    full: { files: 5000, mebibytes: 200, sources: 199 },
    quick: { files: 1000, mebibytes: 50, sources: 4 },
  },
  emulated: {
    what: 'a guest whose processor is emulated, its host is not: what is done there is some 20 times as slow as here',
    full: { files: 1000, mebibytes: 32, sources: 12 },
    quick: { files: 100, mebibytes: 4, sources: 1 },
  },
  nested: {
    what: 'a guest on emulated KVM in an emulated machine: ratios tell, times do not',
    full: { files: 200, mebibytes: 20, sources: 2 },
    quick: { files: 40, mebibytes: 4, sources: 1 },
  },
} satisfies Record<string, Place>

/** In a guest of this machine, by vsock where it has that, else by TCP. Throws CpuError, MachineError. */
export async function guestTable(options: GuestTableOptions = {}): Promise<BenchTable> {
  const hasVsock = probeVhostVsock().works
  const place = (await probeKvm()).works ? PLACES.real : PLACES.emulated
  return makeTable('guest', place, hasVsock ? ALL_WAYS : WAYS_BY_TCP, measureGuest, options)
}

/** In the nested lab, whose guests have vsock. Throws CpuError, MachineError. */
export function nestedTable(options: GuestTableOptions = {}): Promise<BenchTable> {
  return makeTable('nested', PLACES.nested, WAYS_BY_VSOCK, measureNested, options)
}

async function makeTable(
  name: string,
  place: Place,
  ways: readonly Way[],
  measure: typeof measureGuest,
  options: GuestTableOptions,
): Promise<BenchTable> {
  const { say = () => undefined, quick = false, repeat = quick ? 1 : REPEAT, signal } = options
  await need(['gcc', 'sshd', 'sshfs'], say)
  const plan = { sizes: quick ? place.quick : place.full, repeat, limitMinutes: LIMIT_MINUTES, ways }
  const prepared = mkdtempSync(path.join(os.tmpdir(), 'cpu-bench-'))
  try {
    say('making the files to work on')
    await prepareGuest(prepared, plan.sizes)
    const result = await measure(plan, prepared, { onMessage: say, signal })
    return asTable(name, place, plan, result)
  } finally {
    rmSync(prepared, { recursive: true, force: true })
  }
}

async function measureNested(
  plan: GuestPlan,
  prepared: string,
  options: { onMessage: (line: string) => void; signal?: AbortSignal | undefined },
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

function asTable(name: string, place: Place, plan: GuestPlan, result: GuestResult): BenchTable {
  const rows = WORKS.flatMap(work => {
    const samples = result.times[work]
    return samples === undefined ? [] : workRows(work, plan, samples)
  })
  const { files, mebibytes, sources } = plan.sizes
  return {
    name,
    title: "Work in a guest on its host's files",
    columns: plan.ways,
    reference: 'virtiofs',
    rows,
    notes: [
      `${place.what}; Linux ${result.kernel} there; up to ${plan.repeat} repetitions, one way after another in the same guest`,
      `${files} files, ${mebibytes} MiB, ${sources + 1} C files`,
      "programs lie in the guest's memory; its caches are dropped before each row, except in those called again",
      'all 9P mounts with cache=mmap, access=any, noxattr; msize 1048576 for ours, 512000 for virtio-9p, which has no larger',
      'requests of ours, with dropped caches and again:',
      ...Object.entries(result.requests).flatMap(([work, ways]) =>
        Object.entries(ways).map(([way, requests]) => requestNote(work as Work, way, requests)),
      ),
      'processor time of both passes and what prepares them: our file server, QEMU, the whole host:',
      ...Object.entries(result.times).map(([work, ways]) => processorNote(work as Work, ways)),
      ...result.notes,
    ],
  }
}

type Samples = NonNullable<GuestResult['times'][Work]>

function workRows(work: Work, { sizes, ways }: GuestPlan, times: Samples): BenchRow[] {
  const isTransfer = work === 'read' || work === 'write'
  const value = (ms: number) => (isTransfer ? (sizes.mebibytes * 1000) / ms : ms / 1000)
  const row = (name: string, pass: 'cold' | 'warm'): BenchRow => ({
    name,
    unit: isTransfer ? 'MiB/s' : 's',
    better: isTransfer ? 'higher' : 'lower',
    samples: Object.fromEntries(
      Object.entries(times).map(([way, samples]) => [way, samples[pass].map(value)] as const),
    ),
    goals: goalsOf(work, pass, ways),
  })
  const name = workName(work, sizes)
  const again = Object.values(times).some(({ warm }) => warm.length > 0)
  return again ? [row(name, 'cold'), row(`${name}, again`, 'warm')] : [row(name, 'cold')]
}

const METADATA_WORKS: ReadonlySet<Work> = new Set(['find', 'tar', 'git'])

/** Ours without ssh beside the best of others; over TCP, FUSE exists through ssh only. */
function goalsOf(work: Work, pass: 'cold' | 'warm', ways: readonly Way[]): BenchGoal[] {
  const [ninep, ninepSsh, fuse] = ways.includes('9p direct')
    ? (['9p direct', '9p ssh/vsock', 'fuse direct'] as const)
    : (['9p tcp', '9p ssh/tcp', 'fuse ssh/tcp'] as const)
  const goal = (column: Way, atLeast: number, reference: Way) => ({ column, reference, atLeast })
  const goals = [goal(ninep, 1, 'virtio-9p')]
  if (METADATA_WORKS.has(work)) goals.push(goal(ninep, 5, ninepSsh))
  if (pass === 'warm') goals.push(goal(fuse, 1, 'virtiofs'))
  else if (work === 'find')
    goals.push(goal(fuse, 1 / 2, 'virtiofs'), goal(fuse, 5, fuse === 'fuse direct' ? ninep : ninepSsh))
  else if (work === 'read' || work === 'write') goals.push(goal(fuse, 0.7, 'virtiofs'))
  else if (work === 'make') goals.push(goal(fuse, 1 / 1.3, 'tmpfs'))
  return goals
}

function processorNote(work: Work, ways: Samples): string {
  const part = (samples: readonly ProcessorTimes[], key: keyof ProcessorTimes) =>
    Math.round(median(samples.map(times => times[key])))
  const each = Object.entries(ways).map(([way, { processor }]) => {
    const [client, qemu, host] = (['client', 'qemu', 'host'] as const).map(key => part(processor, key))
    return `${way} ${client}, ${qemu}, ${host} ms`
  })
  return `  ${work}: ${each.join('; ')}`
}

function requestNote(work: Work, way: string, { cold, warm }: Requests): string {
  const total = (counts: Requests['cold']) => Object.values(counts).reduce((sum, count) => sum + count, 0)
  const listed = (counts: Requests['cold']) =>
    Object.entries(counts)
      .sort(([, a], [, b]) => b - a)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ')
  const again = total(warm) === 0 ? 'none' : `${total(warm)}: ${listed(warm)}`
  return `  ${work}, ${way}: ${total(cold)}: ${listed(cold)}; again ${again}`
}
