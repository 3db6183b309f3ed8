// One way for a guest to reach its host's files: a session of `cpu` that lasts as long as the benchmark, with
// guest-agent.sh in it, which does a piece of work when it is told to. Called by guest-host.ts.
import { type ChildProcess, spawn } from 'node:child_process'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { CpuError } from '../../src/errors.js'
import { packageRoot } from '../../src/version.js'

const CPU = path.join(packageRoot(), 'dist/bundle/cpu.cjs')
const START_LIMIT_MS = 180_000
const WORK_LIMIT_MS = 1_200_000
const END_LIMIT_MS = 30_000

export type Passes = 'cold' | 'warm' | 'both'

export interface Timing {
  /** Undefined for a pass that was not asked for. */
  readonly coldMs: number | undefined
  readonly warmMs: number | undefined
  /** Equal for all ways, or the work was not the same. */
  readonly check: string
}

/** `cpu` with these arguments, as a process. */
export function startCpu(args: readonly string[], cwd = '/'): ChildProcess {
  const names = ['PATH', 'HOME', 'XDG_RUNTIME_DIR', 'XDG_CACHE_HOME'] as const
  const env = Object.fromEntries(
    names.flatMap(name => (process.env[name] ? [[name, process.env[name]]] : [])),
  )
  return spawn(process.execPath, [CPU, ...args], { cwd, env, stdio: ['pipe', 'pipe', 'pipe'] })
}

/** Runs `cpu` to its end and returns what it printed. Throws ERR_CPU_BENCH. */
export async function runCpu(args: readonly string[], cwd = '/'): Promise<string> {
  const child = startCpu(args, cwd)
  child.stdin?.end()
  let printed = ''
  let said = ''
  child.stdout?.on('data', chunk => (printed += chunk))
  child.stderr?.on('data', chunk => (said += chunk))
  const timer = setTimeout(() => child.kill('SIGKILL'), WORK_LIMIT_MS)
  const code = await new Promise(resolve => child.once('close', resolve))
  clearTimeout(timer)
  if (code === 0) return printed
  throw new CpuError('ERR_CPU_BENCH', `cpu ${args.join(' ')}: exit code ${code}: ${said.trim()}`)
}

export class GuestSession implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>
  #said = ''

  private constructor(child: ChildProcess, onRequest?: (name: string) => void) {
    this.#child = child
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]()
    this.#child.stdin!.on('error', () => {})
    createInterface({ input: this.#child.stderr! }).on('line', line => {
      const [isTraced, request] = /^cpu: (?:9p|fuse): (?:> (\w+))?/.exec(line) ?? []
      if (request !== undefined) onRequest?.(request)
      else if (isTraced === undefined) this.#said = `${this.#said}${line}\n`.slice(-2000)
    })
  }

  /** Resolves when the files are there. `onRequest` gets the name of each of a session with -dbg9p. */
  static start(args: readonly string[], onRequest?: (name: string) => void): Promise<GuestSession> {
    return GuestSession.of(startCpu(args), onRequest)
  }

  /** Of a process that has the agent in it. Takes it over. */
  static async of(child: ChildProcess, onRequest?: (name: string) => void): Promise<GuestSession> {
    const session = new GuestSession(child, onRequest)
    try {
      const line = await session.#line(START_LIMIT_MS)
      if (line !== 'ready') throw session.#failure(line)
      return session
    } catch (error) {
      await session[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Of the client. */
  get pid(): number {
    return this.#child.pid!
  }

  /** Does a piece of work: with the guest's caches dropped, as they are, or both. Throws ERR_CPU_BENCH. */
  async work(name: string, passes: Passes): Promise<Timing> {
    this.#child.stdin!.write(`${name} ${passes}\n`)
    const line = await this.#line(WORK_LIMIT_MS)
    const [answered, cold, warm, check] = line.split(' ')
    if (answered !== name || check === undefined) throw this.#failure(line)
    const ms = (text: string | undefined) => (text === '-' ? undefined : Number(text) / 1000)
    return { coldMs: ms(cold), warmMs: ms(warm), check }
  }

  /** Says a line and waits for the answer that means done. Throws ERR_CPU_BENCH for another. */
  async ask(line: string, expected: string): Promise<void> {
    this.#child.stdin!.write(`${line}\n`)
    const answer = await this.#line(START_LIMIT_MS)
    if (answer !== expected) throw this.#failure(answer)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise(resolve => child.once('exit', resolve))
    child.stdin!.end()
    const timer = setTimeout(() => child.kill('SIGKILL'), END_LIMIT_MS)
    await ended
    clearTimeout(timer)
  }

  async #line(limitMs: number): Promise<string> {
    let timer: NodeJS.Timeout | undefined
    const limit = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(this.#failure(`no answer after ${limitMs / 1000} s`)), limitMs)
    })
    try {
      const { value, done } = await Promise.race([this.#lines.next(), limit])
      if (done) throw this.#failure('the session ended')
      return value
    } finally {
      clearTimeout(timer)
    }
  }

  #failure(what: string): CpuError {
    return new CpuError('ERR_CPU_BENCH', `work in the guest: ${what}: ${this.#said.trim().slice(-500)}`)
  }
}
