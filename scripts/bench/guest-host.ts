// Table 2 on a host whose guests have KVM and vsock: one guest, every way to its host's files side by side, each in a
// session of its own that stays. Called by guest-table.ts, in the nested lab as a program that prints the result.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { copyFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { execa } from 'execa'
import { ninePShare } from '../../qemu/devices.js'
import { type Machine, startMachine } from '../../qemu/index.js'
import { readState } from '../../qemu/machine-directory.js'
import { packageRoot } from '../../src/version.js'
import { difference, type ProcessorTimes, processorTimes } from './guest-profile.js'
import { GuestSession, runCpu, type Timing } from './guest-session.js'
import { type Sshd, startSshd, writeSshdFiles } from './guest-sshd.js'
import { installSystem, SHARED_SYSTEM, SYSTEM, systemFstab } from './guest-system.js'
import { copyWorkPrograms, makeWork, type WorkSizes } from './guest-work.js'

export const WAYS = ['9p ssh/tcp', '9p ssh/vsock', '9p direct', 'virtio-9p', 'virtiofs', 'sshfs'] as const
export type Way = (typeof WAYS)[number]

export const WORKS = ['find', 'tar', 'read', 'write', 'git', 'python', 'make'] as const
export type Work = (typeof WORKS)[number]

/** Those that are done a second time at once, with what the first time left in the guest's caches. */
const WORKS_AGAIN: ReadonlySet<Work> = new Set(['find', 'tar', 'read', 'git', 'python'])

export interface GuestPlan {
  readonly sizes: WorkSizes
  readonly repeat: number
  /** Nothing is begun that long after the first piece of work. */
  readonly limitMinutes: number
  /** Each piece of work once only, with cold caches. */
  readonly once?: boolean
  /** Fewer of each for a first look. */
  readonly ways?: readonly Way[]
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
  /** How many 9P requests of ours each work makes, by message; cold, and once more. */
  readonly requests: Partial<Record<Work, Readonly<Record<string, number>>>>
  readonly kernel: string
  readonly notes: readonly string[]
}

type Say = (line: string) => void

const GUEST_MEMORY_MIB = 1536
/** Generous: the machine that it boots on may be emulated. */
const BOOT_LIMIT_MS = 300_000
/** Of a way whose files a session's fstab mounts. */
const DATA = '/mnt/data'

/**
 * Makes what measureGuest needs in `directory`: the files to work on and the programs. Apart from it, since a machine
 * that is emulated itself takes minutes for this.
 */
export async function prepareGuest(directory: string, sizes: WorkSizes): Promise<void> {
  const work = path.join(directory, 'work')
  mkdirSync(work)
  await makeWork(work, sizes)
  await copyWorkPrograms(path.join(work, SHARED_SYSTEM), path.join(work, 'project'))
}

/** Boots the guest, measures, and leaves nothing behind. `prepared` is a directory that prepareGuest filled. */
export async function measureGuest(
  plan: GuestPlan,
  prepared: string,
  options: { onMessage: Say; signal?: AbortSignal | undefined },
): Promise<GuestResult> {
  const base = mkdtempSync(path.join(os.tmpdir(), 'cpu-bench-'))
  try {
    const work = path.join(base, 'work')
    const staging = path.join(base, 'staging')
    await execa('cp', ['-a', path.join(prepared, 'work'), work], { timeout: 600_000 })
    const ssh = writeSshdFiles(staging)
    const system = path.join(work, SHARED_SYSTEM)
    await copyFile(path.join(packageRoot(), 'scripts/bench/guest-agent.sh'), path.join(system, 'agent.sh'))
    await copyFile(path.join(staging, ssh.clientKey), path.join(system, 'id'))
    using sshd = await startSshd(ssh)
    await using machine = await startMachine({
      name: `bench-${process.pid}`,
      net: 'both',
      memoryMiB: GUEST_MEMORY_MIB,
      timeoutMs: BOOT_LIMIT_MS,
      shares: [{ tag: 'work', hostPath: work }],
      devices: [ninePShare({ tag: 'work9p', hostPath: work })],
      onMessage: options.onMessage,
      signal: options.signal,
    })
    options.onMessage(`the guest is ready after ${Math.round(machine.bootMs / 1000)} s`)
    const scene = { plan, work, staging, sshd, machine, say: options.onMessage, signal: options.signal }
    return await measureIn(scene)
  } finally {
    rmSync(base, { recursive: true, force: true })
  }
}

interface Scene {
  readonly plan: GuestPlan
  /** Directories of the host: what is exported, and what is not. */
  readonly work: string
  readonly staging: string
  readonly sshd: Sshd
  readonly machine: Machine
  readonly say: Say
  readonly signal: AbortSignal | undefined
}

async function measureIn(scene: Scene): Promise<GuestResult> {
  const { plan, machine, staging, say } = scene
  writeFileSync(path.join(staging, 'host.pub'), `${machine.hostKey}\n`)
  writeFileSync(path.join(staging, 'fstab'), systemFstab())
  await installSystem(machine, 'work', staging)
  const kernel = (await runCpu(['-9p=false', machine.name, '/cpu-harness/node', '-p', 'os.release()'])).trim()
  const notes: string[] = []
  const note = (line: string) => {
    notes.push(line)
    say(line)
  }
  const open = new Map<Way, GuestSession>()
  let times: GuestTimes
  try {
    for (const way of plan.ways ?? WAYS) {
      try {
        open.set(way, await GuestSession.start(sessionArguments(scene, way)))
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

/** Arguments of `cpu` for a session in which the agent works on the files by this way. */
function sessionArguments(scene: Scene, way: Way): string[] {
  const { machine, work, staging, plan } = scene
  const fstab = path.join(staging, 'fstab')
  const agent = (data: string, ...more: string[]) => [
    ...['/usr/bin/bash', `${SYSTEM}/agent.sh`, data, String(plan.sizes.mebibytes), ...more],
  ]
  const ours = ['-root', work, '-namespace', 'none', '-fstab', fstab]
  const others = (line: string) => {
    const file = path.join(staging, `fstab-${WAYS.indexOf(way)}`)
    writeFileSync(file, `${systemFstab()}${line}\n`)
    return ['-9p=false', '-fstab', file, machine.name]
  }
  switch (way) {
    case '9p ssh/tcp': {
      const login = [
        '-key',
        path.join(machine.directory, 'id_ed25519'),
        '-hk',
        path.join(staging, 'host.pub'),
      ]
      const host = ['-net', 'tcp', '-sp', String(machine.tcpPort), ...login, '-user', 'root', '127.0.0.1']
      return [...ours, ...host, ...agent('/tmp/cpu')]
    }
    case '9p ssh/vsock':
      return ['-direct=false', ...ours, ...vsockHost(machine), ...agent('/tmp/cpu')]
    case '9p direct':
      return [...ours, ...vsockHost(machine), ...agent('/tmp/cpu')]
    case 'virtio-9p': {
      // as ours is mounted by kernels before 6.4, but for the size: this is the most that virtio has
      const mount = 'trans=virtio,version=9p2000.L,msize=512000,access=any,noxattr,cache=mmap'
      return [...others(`work9p ${DATA} 9p nosuid,nodev,${mount} 0 0`), ...agent(DATA)]
    }
    case 'virtiofs':
      return [...others(`work ${DATA} virtiofs nosuid,nodev 0 0`), ...agent(DATA)]
    case 'sshfs':
      return [...others(''), ...agent(DATA, sshfsCommand(scene))]
  }
}

function vsockHost({ cid }: Machine): string[] {
  if (cid === undefined) throw new Error('the guest has no vsock')
  return ['-net', 'vsock', String(cid)]
}

/** QEMU's user network leads 10.0.2.2 to this host's loopback. */
function sshfsCommand({ sshd, work }: Scene): string {
  const options = [`IdentityFile=${SYSTEM}/id`, 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null']
  return `sshfs -p ${sshd.port} -o ${options.join(',')} root@10.0.2.2:${work} ${DATA} 2>/tmp/sshfs`
}

async function measureTimes(
  { plan, machine, say, signal }: Scene,
  open: Map<Way, GuestSession>,
  note: Say,
): Promise<GuestTimes> {
  const qemu = readState(machine.directory)!.qemu!.pid
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
        signal?.throwIfAborted()
        try {
          const before = processorTimes(session.pid, qemu)
          const timing = await session.work(work, plan.once !== true && WORKS_AGAIN.has(work) ? 2 : 1)
          record(times, work, way, timing, difference(processorTimes(session.pid, qemu), before))
          const { coldMs, warmMs, check } = timing
          checks.set(check, way)
          say(
            `${repetition + 1}/${plan.repeat} ${work}, ${way}: ${Math.round(coldMs)} ms${warmMs === undefined ? '' : `, again ${Math.round(warmMs)} ms`}`,
          )
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
      cold: [...known.cold, coldMs],
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

async function countRequests(scene: Scene, note: Say): Promise<GuestResult['requests']> {
  let counts: Record<string, number> = {}
  const count = (line: string) => {
    const name = /\b(T[a-z]+)\b/.exec(line)?.[1]
    if (name !== undefined) counts[name] = (counts[name] ?? 0) + 1
  }
  const way = scene.machine.cid === undefined ? '9p ssh/tcp' : '9p direct'
  const requests: GuestResult['requests'] = {}
  try {
    await using session = await GuestSession.start(['-dbg9p', ...sessionArguments(scene, way)], count)
    for (const work of scene.plan.works ?? WORKS) {
      counts = {}
      await session.work(work, 1)
      requests[work] = counts
      scene.say(`${work}: ${JSON.stringify(counts)}`)
    }
  } catch (error) {
    note(`requests were not all counted: ${(error as Error).message}`)
  }
  return requests
}
