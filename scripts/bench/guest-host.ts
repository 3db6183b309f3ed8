// Table 2 on the guest's host: one guest, every way to its host's files side by side, each in a session of its own that
// stays. Called by guest-table.ts, in the nested lab as a program that prints the result.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { copyFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { execa } from 'execa'
import { ninePShare } from '../../qemu/devices.js'
import { startMachine } from '../../qemu/index.js'
import { readState } from '../../qemu/machine-directory.js'
import { packageRoot } from '../../src/version.js'
import { difference, type ProcessorTimes, processorTimes } from './guest-profile.js'
import { GuestSession, runCpu, type Timing } from './guest-session.js'
import { startSshd, writeSshdFiles } from './guest-sshd.js'
import { installSystem } from './guest-system.js'
import { serveFiles, sessionArguments, systemIn, type Way, type WayScene } from './guest-ways.js'
import {
  copyNode,
  copyWorkPrograms,
  makeWork,
  WORKS,
  WORKS_AGAIN,
  type Work,
  type WorkSizes,
} from './guest-work.js'

export interface GuestPlan {
  readonly sizes: WorkSizes
  readonly repeat: number
  /** Nothing is begun that long after the first piece of work. */
  readonly limitMinutes: number
  readonly ways: readonly Way[]
  /** Fewer for a first look. */
  readonly works?: readonly Work[]
}

/** Milliseconds of each repetition, and the processor's time for all that belongs to it. */
export interface WorkTimes {
  readonly cold: readonly number[]
  readonly warm: readonly number[]
  readonly processor: readonly ProcessorTimes[]
}

export type GuestTimes = Partial<Record<Work, Partial<Record<Way, WorkTimes>>>>

export interface GuestResult {
  readonly times: GuestTimes
  /** How many messages each work makes by our protocols. */
  readonly requests: Partial<Record<Work, Partial<Record<Way, Requests>>>>
  readonly kernel: string
  readonly notes: readonly string[]
}

/** By message: with the guest's caches dropped, and once more. */
export type Requests = Readonly<Record<'cold' | 'warm', Readonly<Record<string, number>>>>

type Say = (line: string) => void

const GUEST_MEMORY_MIB = 1536
/** Generous: the machine that it boots on may be emulated. */
const BOOT_LIMIT_MS = 300_000
/** For the lines of a trace that the session's output has overtaken. */
const TRACE_DELAY_MS = 300

/**
 * Makes what measureGuest needs in `directory`: the files to work on and the programs. Apart from it, since a machine
 * that is emulated itself takes minutes for this.
 */
export async function prepareGuest(directory: string, sizes: WorkSizes): Promise<void> {
  const work = path.join(directory, 'work')
  mkdirSync(work)
  await makeWork(work, sizes)
  await copyNode(path.join(work, 'node'))
  await copyWorkPrograms(systemIn(work), path.join(work, 'project'))
}

/** Boots the guest, measures, and leaves nothing behind. `prepared` is a directory that prepareGuest filled. */
export async function measureGuest(
  plan: GuestPlan,
  prepared: string,
  options: { onMessage: Say; signal?: AbortSignal | undefined },
): Promise<GuestResult> {
  const { onMessage: say, signal } = options
  const base = mkdtempSync(path.join(os.tmpdir(), 'cpu-bench-'))
  try {
    const work = path.join(base, 'work')
    const staging = path.join(base, 'staging')
    await execa('cp', ['-a', path.join(prepared, 'work'), work], { timeout: 600_000 })
    const ssh = writeSshdFiles(staging)
    const system = systemIn(work)
    await copyFile(path.join(packageRoot(), 'scripts/bench/guest-agent.sh'), path.join(system, 'agent.sh'))
    await copyFile(path.join(staging, ssh.clientKey), path.join(system, 'id'))
    using sshd = await startSshd(ssh)
    using served = await serveFiles(work)
    await using machine = await startMachine({
      name: `bench-${process.pid}`,
      net: plan.ways.some(way => /vsock|direct/.test(way)) ? 'both' : 'tcp',
      memoryMiB: GUEST_MEMORY_MIB,
      timeoutMs: BOOT_LIMIT_MS,
      shares: [{ tag: 'work', hostPath: work }],
      devices: [ninePShare({ tag: 'work9p', hostPath: work })],
      onMessage: say,
      signal,
    })
    say(`the guest is ready after ${Math.round(machine.bootMs / 1000)} s`)
    await installSystem(machine, 'work', staging)
    const ways = { machine, work, staging, sshd, sizes: plan.sizes, servePort: served.port }
    return await measureIn({ plan, ways, servedPid: served.pid, say, signal })
  } finally {
    rmSync(base, { recursive: true, force: true })
  }
}

interface Scene {
  readonly plan: GuestPlan
  readonly ways: WayScene
  /** Of `cpu -srv`. */
  readonly servedPid: number
  readonly say: Say
  readonly signal: AbortSignal | undefined
}

async function measureIn(scene: Scene): Promise<GuestResult> {
  const { plan, ways, say } = scene
  const release = ['-9p=false', ways.machine.name, '/cpu-harness/node', '-p', 'os.release()']
  const kernel = (await runCpu(release)).trim()
  const notes: string[] = []
  const note = (line: string) => {
    notes.push(line)
    say(line)
  }
  const open = new Map<Way, GuestSession>()
  let times: GuestTimes
  try {
    for (const way of plan.ways) {
      try {
        open.set(way, await GuestSession.start(sessionArguments(ways, way)))
        say(`${way}: ready`)
      } catch (error) {
        note(`${way} was not measured: ${(error as Error).message}`)
      }
    }
    times = await measureTimes(scene, open, note)
  } finally {
    for (const session of open.values()) await session[Symbol.asyncDispose]()
  }
  return { times, requests: await countRequests(scene, note), kernel, notes }
}

async function measureTimes(
  { plan, ways, servedPid, say, signal }: Scene,
  open: Map<Way, GuestSession>,
  note: Say,
): Promise<GuestTimes> {
  const qemu = readState(ways.machine.directory)!.qemu!.pid
  const times: GuestTimes = {}
  const end = performance.now() + plan.limitMinutes * 60_000
  for (let repetition = 0; repetition < plan.repeat; repetition++) {
    for (const work of plan.works ?? WORKS) {
      if (performance.now() > end) {
        note(`after ${plan.limitMinutes} minutes, in repetition ${repetition + 1}, it was left at that`)
        return times
      }
      const checks = new Map<string, Way>()
      for (const [way, session] of rotated([...open], repetition)) {
        if (way === 'tmpfs' && work !== 'make') continue
        signal?.throwIfAborted()
        const server = way === '9p tcp' ? servedPid : session.pid
        try {
          const before = processorTimes(server, qemu)
          const timing = await session.work(work, WORKS_AGAIN.has(work) ? 'both' : 'cold')
          record(times, work, way, timing, difference(processorTimes(server, qemu), before))
          const { coldMs = 0, warmMs, check } = timing
          checks.set(check, way)
          const again = warmMs === undefined ? '' : `, again ${Math.round(warmMs)} ms`
          say(`${repetition + 1}/${plan.repeat} ${work}, ${way}: ${Math.round(coldMs)} ms${again}`)
        } catch (error) {
          note(`${work}, ${way}: ${(error as Error).message}`)
        }
      }
      if (checks.size > 1) note(`${work}: the results differ: ${JSON.stringify([...checks])}`)
    }
  }
  return times
}

function record(
  times: GuestTimes,
  work: Work,
  way: Way,
  { coldMs, warmMs }: Timing,
  processor: ProcessorTimes,
): void {
  const row = times[work] ?? {}
  const known = row[way] ?? { cold: [], warm: [], processor: [] }
  times[work] = {
    ...row,
    [way]: {
      cold: coldMs === undefined ? known.cold : [...known.cold, coldMs],
      warm: warmMs === undefined ? known.warm : [...known.warm, warmMs],
      processor: [...known.processor, processor],
    },
  }
}

/** Each repetition begins with another, so that none always follows the same one. */
function rotated<T>(list: readonly T[], by: number): T[] {
  const start = list.length === 0 ? 0 : by % list.length
  return [...list.slice(start), ...list.slice(0, start)]
}

/** Of each of our protocols, in a session of its own, whose messages are shown. */
async function countRequests({ plan, ways, say }: Scene, note: Say): Promise<GuestResult['requests']> {
  const requests: GuestResult['requests'] = {}
  for (const way of plan.ways.filter(way => COUNTED.has(way))) {
    let counts: Record<string, number> = {}
    const count = (name: string) => {
      counts[name] = (counts[name] ?? 0) + 1
    }
    const counted = async (session: GuestSession, work: Work, pass: 'cold' | 'warm') => {
      counts = {}
      await session.work(work, pass)
      await setTimeout(TRACE_DELAY_MS)
      return counts
    }
    try {
      await using session = await GuestSession.start(['-dbg9p', ...sessionArguments(ways, way)], count)
      for (const work of plan.works ?? WORKS) {
        const seen = {
          cold: await counted(session, work, 'cold'),
          warm: await counted(session, work, 'warm'),
        }
        requests[work] = { ...requests[work], [way]: seen }
        say(`${work}, ${way}: ${JSON.stringify(seen)}`)
      }
    } catch (error) {
      note(`requests of ${way} were not all counted: ${(error as Error).message}`)
    }
  }
  return requests
}

const COUNTED: ReadonlySet<Way> = new Set(['9p ssh/tcp', 'fuse ssh/tcp', '9p direct', 'fuse direct'])
