// What SSH costs, on this machine's loopback: the stream that carries the files, through our two halves of SSH, through
// OpenSSH's, and through two Node processes without any. ssh-load.c works at both ends, ssh-end.ts is ours in between.
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import readline from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { packageRoot } from '../../src/version.js'
import type { BenchOptions, BenchRow, BenchTable } from './table.js'

export interface SshTableOptions extends Partial<BenchOptions> {
  readonly signal?: AbortSignal | undefined
}

const REPEAT = 5
const OURS = 'cpu'
const OPENSSH = 'OpenSSH'
const NO_SSH = 'no SSH (Node)'

const CIPHERS = [
  'aes128-gcm@openssh.com',
  'aes256-gcm@openssh.com',
  'chacha20-poly1305@openssh.com',
  'aes128-ctr',
] as const

interface Work {
  readonly name: string
  readonly word: 'down' | 'up' | 'echo'
  /** Bytes, or messages of 100 bytes. */
  readonly amount: number
  readonly depth: number
}

function worksOf(quick: boolean): Work[] {
  const bytes = (quick ? 64 : 256) * 1024 * 1024
  const messages = quick ? 1000 : 5000
  return [
    { name: 'to the client', word: 'up', amount: bytes, depth: 1 },
    { name: 'from the client', word: 'down', amount: bytes, depth: 1 },
    { name: '100 bytes there and back, 1 under way', word: 'echo', amount: messages, depth: 1 },
    { name: '100 bytes there and back, 32 under way', word: 'echo', amount: messages * 8, depth: 32 },
  ]
}

/** Something that carries a stream. */
interface Carrier {
  readonly name: string
  /** The processes that do, whose time counts. */
  pids(): number[]
  /** Does the work; resolves to seconds. */
  run(work: Work): Promise<number>
}

/** Measures it all; what was started is ended and removed, also on failure. Needs OpenSSH's server and client, and gcc. */
export async function sshTable(options: SshTableOptions = {}): Promise<BenchTable> {
  const { quick = false, repeat = REPEAT, say = () => undefined, signal } = options
  await using bed = new TestBed(signal)
  const sshd = canRunSshd() ? await bed.startSshd() : undefined
  const without = await bed.carryPlainly()
  const works = worksOf(quick)
  const rows: BenchRow[] = []
  for (const cipher of quick ? CIPHERS.slice(0, 1) : CIPHERS) {
    const carriers = [await bed.carryOurs(cipher), without]
    if (sshd !== undefined) carriers.push(await bed.carryByOpenSsh(cipher, sshd))
    for (const work of works) {
      say(`ssh: ${cipher}, ${work.name}`)
      rows.push(...(await measure(carriers, work, cipher, { repeat, signal })))
    }
  }
  return {
    name: 'ssh',
    title: 'What SSH costs: one channel, on loopback',
    columns: [OURS, OPENSSH, NO_SSH],
    rows,
    notes: [
      'Both ends on this machine, so they share its processors; over TCP, with nodelay.',
      `${OURS} is Node ${process.versions.node} with ssh2. aes128-ctr goes with hmac-sha2-256-etm.`,
      sshd === undefined
        ? 'OpenSSH was left out: its server and client must be installed, and this run as root.'
        : `OpenSSH is ssh -L to sshd, ${opensshVersion()}.`,
      'CPU is that of the processes that carry, without the load at the ends.',
    ],
  }
}

async function measure(
  carriers: readonly Carrier[],
  work: Work,
  cipher: string,
  { repeat, signal }: { repeat: number; signal: AbortSignal | undefined },
): Promise<BenchRow[]> {
  const speed: Record<string, number[]> = {}
  const cpu: Record<string, number[]> = {}
  for (const carrier of carriers) await carrier.run(work) // until the code is compiled
  for (let i = 0; i < repeat; i++) {
    for (const carrier of carriers) {
      signal?.throwIfAborted()
      const before = cpuSeconds(carrier.pids())
      const seconds = await carrier.run(work)
      const used = cpuSeconds(carrier.pids()) - before
      const units = work.word === 'echo' ? work.amount : work.amount / 1e6
      speed[carrier.name] = [...(speed[carrier.name] ?? []), units / seconds]
      cpu[carrier.name] = [...(cpu[carrier.name] ?? []), used / (work.amount / 1e9)]
    }
  }
  const name = `${cipher.replace('@openssh.com', '')}, ${work.name}`
  const rate: BenchRow = {
    name,
    unit: work.word === 'echo' ? 'op/s' : 'MB/s',
    better: 'higher',
    samples: speed,
  }
  if (work.word === 'echo') return [rate]
  return [rate, { name: `${name}: CPU`, unit: 's/GB', better: 'lower', samples: cpu }]
}

const SSHD = '/usr/sbin/sshd'
const PRIVILEGE_SEPARATION_DIRECTORY = '/run/sshd'

function canRunSshd(): boolean {
  return process.getuid?.() === 0 && existsSync(SSHD) && existsSync('/usr/bin/ssh')
}

class TestBed implements AsyncDisposable {
  readonly #directory = mkdtempSync(path.join(tmpdir(), 'cpu-bench-ssh-'))
  readonly #children: ChildProcess[] = []
  readonly #signal: AbortSignal | undefined
  readonly #load = this.#file('ssh-load')
  #count = 0
  #made = false

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal
    const source = path.join(packageRoot(), 'scripts/bench/ssh-load.c')
    execFileSync('gcc', ['-O2', '-Wall', '-Wextra', '-Werror', '-o', this.#load, source])
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', this.#file('key')])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) child.kill('SIGTERM')
    await Promise.all(this.#children.map(child => ended(child)))
    rmSync(this.#directory, { recursive: true, force: true })
    if (this.#made) rmdirSync(PRIVILEGE_SEPARATION_DIRECTORY)
  }

  async carryOurs(cipher: string): Promise<Carrier> {
    const server = this.#node('cpud', this.#load, this.#file('key'))
    const lines = linesOf(server)
    const port = await lines()
    const client = this.#node('cpu', this.#load, this.#file('key'), port, cipher)
    await lines() // ready
    return {
      name: OURS,
      pids: () => [server.pid!, client.pid!],
      run: async work => {
        server.stdin?.write(`${work.word} ${work.amount} ${work.depth}\n`)
        return Number(await lines())
      },
    }
  }

  /** A server that takes the one key that there is. Resolves to its port and process. */
  async startSshd(): Promise<{ port: number; pid: number }> {
    const port = await freePort()
    // sshd wants it empty and there, and only Debian's service makes it.
    this.#made = mkdirSync(PRIVILEGE_SEPARATION_DIRECTORY, { recursive: true, mode: 0o755 }) !== undefined
    writeFileSync(this.#file('authorized_keys'), readFileSync(this.#file('key.pub')), { mode: 0o600 })
    writeFileSync(
      this.#file('sshd_config'),
      [
        `ListenAddress 127.0.0.1:${port}`,
        `HostKey ${this.#file('key')}`,
        `AuthorizedKeysFile ${this.#file('authorized_keys')}`,
        'StrictModes no',
        'PermitRootLogin prohibit-password',
        'UsePAM no',
        'PidFile none',
      ].join('\n'),
    )
    const sshd = this.#start(SSHD, ['-D', '-E', this.#file('sshd.log'), '-f', this.#file('sshd_config')])
    await until(() => accepts(port), sshd, 'sshd')
    return { port, pid: sshd.pid! }
  }

  async carryByOpenSsh(cipher: string, sshd: { port: number; pid: number }): Promise<Carrier> {
    const near = this.#file(`near.${++this.#count}`)
    const far = await this.#answerBehind()
    const before = new Set(descendants(sshd.pid))
    const options = [
      'ExitOnForwardFailure=yes',
      'StrictHostKeyChecking=no',
      'UserKnownHostsFile=/dev/null',
      'LogLevel=ERROR',
      'MACs=hmac-sha2-256-etm@openssh.com',
      `Ciphers=${cipher}`,
    ]
    const ssh = this.#start('ssh', [
      ...['-F', 'none', '-N', '-i', this.#file('key'), '-p', `${sshd.port}`, '-L', `${near}:${far}`],
      ...options.flatMap(option => ['-o', option]),
      'root@127.0.0.1',
    ])
    await until(async () => existsSync(near), ssh, 'ssh')
    const serving = descendants(sshd.pid).filter(pid => !before.has(pid))
    return { name: OPENSSH, pids: () => [ssh.pid!, ...serving], run: work => this.#drive(work, near) }
  }

  /** Through as many processes and sockets as with SSH. */
  async carryPlainly(): Promise<Carrier> {
    const near = this.#file(`near.${++this.#count}`)
    const back = this.#node('unrelay', await this.#answerBehind())
    const front = this.#node('relay', near, await linesOf(back)())
    await linesOf(front)()
    return { name: NO_SSH, pids: () => [front.pid!, back.pid!], run: work => this.#drive(work, near) }
  }

  /** Resolves to the path of a socket behind which the load's other half answers. */
  async #answerBehind(): Promise<string> {
    const socket = this.#file(`far.${++this.#count}`)
    await linesOf(this.#start(this.#load, ['listen', socket]))()
    return socket
  }

  async #drive(work: Work, socket: string): Promise<number> {
    const args = ['drive', work.word, `${work.amount}`, `${work.depth}`, socket]
    const { stdout } = await promisify(execFile)(this.#load, args, { signal: this.#signal })
    return Number(stdout)
  }

  #node(...args: string[]): ChildProcess {
    const end = fileURLToPath(new URL('ssh-end.js', import.meta.url))
    return this.#start(process.execPath, [end, ...args])
  }

  #start(command: string, args: string[]): ChildProcess {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#children.push(child)
    return child
  }

  #file(name: string): string {
    return path.join(this.#directory, name)
  }
}

/** Successive lines of its stdout; fails when there are no more. */
function linesOf(child: ChildProcess): () => Promise<string> {
  const lines = readline.createInterface(child.stdout!)[Symbol.asyncIterator]()
  return async () => {
    const { value, done } = await lines.next()
    if (done === true) throw new Error(`${child.spawnfile} has ended, with ${child.exitCode}`)
    return value
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

function accepts(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

const START_ATTEMPTS = 200
const START_INTERVAL_MS = 50

async function until(condition: () => Promise<boolean>, child: ChildProcess, name: string): Promise<void> {
  for (let i = 0; i < START_ATTEMPTS && child.exitCode === null; i++) {
    if (await condition()) return
    await setTimeout(START_INTERVAL_MS)
  }
  throw new Error(`${name} does not start`)
}

/** Every process below `root`, itself not included. */
function descendants(root: number): number[] {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc').filter(name => /^\d+$/.test(name))) {
    const parent = Number(statOf(Number(name))?.[1])
    children.set(parent, [...(children.get(parent) ?? []), Number(name)])
  }
  const below = (pid: number): number[] =>
    (children.get(pid) ?? []).flatMap(child => [child, ...below(child)])
  return below(root)
}

const CLOCK_TICKS_PER_SECOND = 100 // sysconf(_SC_CLK_TCK), on every architecture of Linux that Node runs on

/** User and system time of processes, of those that still are. */
function cpuSeconds(pids: readonly number[]): number {
  const ticks = pids.map(pid => {
    const stat = statOf(pid)
    return Number(stat?.[11] ?? 0) + Number(stat?.[12] ?? 0)
  })
  return ticks.reduce((sum, each) => sum + each, 0) / CLOCK_TICKS_PER_SECOND
}

/** The fields of /proc/PID/stat from the state on: proc(5). */
function statOf(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}

function opensshVersion(): string {
  return execFileSync('sh', ['-c', 'ssh -V 2>&1'], { encoding: 'utf8' }).split(',')[0] ?? ''
}
