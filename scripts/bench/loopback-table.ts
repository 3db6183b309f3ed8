// Table: files of this machine on this machine, by sessions of ours (FUSE, past ssh and through it) and through sshfs,
// both over loopback, and as they are.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { freePort } from '../../qemu/addresses.js'
import { CpuError } from '../../src/errors.js'
import { packageRoot } from '../../src/version.js'
import { GuestSession, startCpu } from './guest-session.js'
import { type Sshd, type SshdFiles, startSshd, writeSshdFiles } from './guest-sshd.js'
import { copyNode, makeWork, WORKS, WORKS_AGAIN, type Work, workName } from './guest-work.js'
import { need } from './needs.js'
import type { BenchOptions, BenchRow, BenchTable } from './table.js'

type LoopbackOptions = Partial<BenchOptions> & { readonly signal?: AbortSignal | undefined }

const WAYS = ['cpu', 'cpu -direct=false', 'sshfs', 'local'] as const
type Way = (typeof WAYS)[number]

const FULL = { files: 5000, mebibytes: 200, sources: 19 }
const QUICK = { files: 200, mebibytes: 8, sources: 2 }
const REPEAT = 5

/** Measures. Throws CpuError. */
export async function loopbackTable(options: LoopbackOptions = {}): Promise<BenchTable> {
  const { say = () => undefined, quick = false, repeat = quick ? 1 : REPEAT, signal } = options
  const sizes = quick ? QUICK : FULL
  await need(['gcc', 'sshd', 'sshfs'], say)
  // Not below /tmp, which a session has for itself.
  const base = mkdtempSync('/var/tmp/cpu-bench-')
  try {
    const work = path.join(base, 'work')
    const mountPoint = path.join(base, 'mnt')
    for (const directory of [work, mountPoint]) mkdirSync(directory)
    say('making the files to work on')
    await makeWork(work, sizes)
    await copyNode(path.join(work, 'node'))
    const ssh = writeSshdFiles(path.join(base, 'ssh'))
    writeFileSync(path.join(ssh.directory, 'host.pub'), `${ssh.hostPublicKey}\n`)
    const agent = path.join(base, 'agent.sh')
    copyFileSync(path.join(packageRoot(), 'scripts/bench/guest-agent.sh'), agent)
    using sshd = await startSshd(ssh)
    using cpud = await startCpud(ssh)
    const scene = { work, mountPoint, agent, ssh, sshd, cpudPort: cpud.port, mebibytes: sizes.mebibytes }
    return asTable(sizes, repeat, await measure(scene, { repeat, say, signal }))
  } finally {
    rmSync(base, { recursive: true, force: true })
  }
}

interface Scene {
  readonly work: string
  readonly mountPoint: string
  readonly agent: string
  readonly ssh: SshdFiles
  readonly sshd: Sshd
  readonly cpudPort: number
  readonly mebibytes: number
}

interface Cpud extends Disposable {
  readonly port: number
}

/** Ours, with the keys of the other. */
async function startCpud({ directory, hostKey, authorizedKeys }: SshdFiles): Promise<Cpud> {
  const port = await freePort()
  const at = (name: string) => path.join(directory, name)
  const listen = ['-net', 'tcp', '-addr', '127.0.0.1', '-sp', String(port)]
  const program = path.join(packageRoot(), 'dist/bundle/cpud.cjs')
  const args = [program, ...listen, '-pk', at(authorizedKeys), '-hk', at(hostKey)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const lines = createInterface({ input: child.stderr })
  const [line] = await Promise.race([once(lines, 'line'), once(child, 'exit')])
  if (!String(line).includes('listening')) throw new CpuError('ERR_CPU_BENCH', `cpud does not start: ${line}`)
  return { port, [Symbol.dispose]: () => void child.kill() }
}

/** A mount of its own for each piece of work, so that nothing is left of the one before in the kernel's caches. */
function startAgent(scene: Scene, way: Way): ChildProcess {
  const { work, mountPoint, agent, ssh, sshd, cpudPort, mebibytes } = scene
  const identity = path.join(ssh.directory, ssh.clientKey)
  const command = (data: string, ...mounting: string[]) => [
    ...['env', 'KEEP_CACHES=1', 'bash', agent, data, String(mebibytes), ...mounting],
  ]
  if (way === 'cpu' || way === 'cpu -direct=false') {
    const host = [
      '-net',
      'tcp',
      '-sp',
      String(cpudPort),
      '-key',
      identity,
      '-hk',
      path.join(ssh.directory, 'host.pub'),
      '127.0.0.1',
    ]
    const direct = `-direct=${way === 'cpu'}`
    return startCpu([direct, '-root', work, '-namespace', 'none', ...host, ...command('/tmp/cpu')])
  }
  const options = [`IdentityFile=${identity}`, 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null']
  const sshfs = `sshfs -p ${sshd.port} -o ${options.join(',')} root@127.0.0.1:${work} ${mountPoint} 2>/dev/null`
  const [program = '', ...args] = way === 'local' ? command(work) : command(mountPoint, sshfs)
  return spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] })
}

type Samples = Record<Work, Record<Way, { cold: number[]; warm: number[] }>>

async function measure(
  scene: Scene,
  { repeat, say, signal }: { repeat: number; say: (line: string) => void; signal: AbortSignal | undefined },
): Promise<Samples> {
  const each = <K extends string, V>(keys: readonly K[], value: () => V) =>
    Object.fromEntries(keys.map(key => [key, value()])) as Record<K, V>
  const samples: Samples = each(WORKS, () => each(WAYS, () => ({ cold: [], warm: [] })))
  for (let repetition = 0; repetition < repeat; repetition++) {
    for (const work of WORKS) {
      for (let turn = 0; turn < WAYS.length; turn++) {
        signal?.throwIfAborted()
        const way = WAYS[(repetition + turn) % WAYS.length]!
        await using session = await GuestSession.of(startAgent(scene, way))
        const { coldMs, warmMs } = await session.work(work, WORKS_AGAIN.has(work) ? 'both' : 'cold')
        if (coldMs !== undefined) samples[work][way].cold.push(coldMs)
        if (warmMs !== undefined) samples[work][way].warm.push(warmMs)
        say(`${repetition + 1}/${repeat} ${work}, ${way}: ${Math.round(coldMs ?? 0)} ms`)
      }
    }
  }
  return samples
}

function asTable(sizes: typeof FULL, repeat: number, samples: Samples): BenchTable {
  const row = (work: Work, pass: 'cold' | 'warm'): BenchRow => ({
    name: pass === 'cold' ? workName(work, sizes) : `${workName(work, sizes)}, again`,
    unit: 'ms',
    better: 'lower',
    samples: Object.fromEntries(WAYS.map(way => [way, samples[work][way][pass]])),
    goals: [{ column: 'cpu', reference: 'sshfs', atLeast: 1 }],
  })
  return {
    name: 'loopback',
    title: 'Files of this machine over loopback',
    columns: WAYS,
    rows: WORKS.flatMap(work => [row(work, 'cold'), ...(WORKS_AGAIN.has(work) ? [row(work, 'warm')] : [])]),
    notes: [
      `${repeat} repetitions; each way has a new mount for each, so the first pass finds nothing cached behind it`,
      'cpu: FUSE by a unix socket past ssh, and through ssh; sshfs: as it is without options; local: the files themselves',
      `on Linux ${os.release()}`,
    ],
  }
}
