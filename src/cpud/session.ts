// One session: the user's files fetched back through the connection, the plan applied, the program run, its
// streams joined to the channel, its exit code sent; afterwards nothing of it is left.
import os from 'node:os'
import { setTimeout } from 'node:timers/promises'
import type ssh2 from 'ssh2'
import { resolveDevices } from '../block/resolve.js'
import { EXIT_CONNECTION, signalExitCode } from '../cli/exit-codes.js'
import { describeError } from '../cli/main.js'
import { CpuError } from '../errors.js'
import { parseNinePOptions } from '../namespace/ninep-options.js'
import { MOUNT_ROOT } from '../namespace/plan.js'
import { sessionPlan } from '../namespace/session-plan.js'
import { workingDirectoryCandidates } from '../namespace/working-directory.js'
import { kernelRelease } from '../native/kernel-release.js'
import {
  type Program,
  type ProgramExit,
  type ProgramFailure,
  type ProgramRequest,
  spawnProgram,
} from '../native/spawn.js'
import { idsInside, type UserNamespace } from '../native/user-namespace.js'
import type { User } from '../native/users.js'
import type { ReceivedEnvironment, SessionRequest } from '../ssh/exec-request.js'
import type { KeyOptions } from '../ssh/key-options.js'
import type { ProgramEnd } from '../ssh/program-end.js'
import { sendProgramEnd } from '../ssh/tell-program-end.js'
import { executableCandidates } from './executables.js'
import { connectFiles, type FileConnection } from './file-connection.js'
import { widenReadAhead } from './read-ahead.js'
import { restrictRequest } from './session-request.js'
import { openStdio, type PtyRequest, type Stdio } from './stdio.js'

export type { PtyRequest } from './stdio.js'

export interface SessionOptions {
  readonly client: ssh2.Connection
  readonly stream: ssh2.ServerChannel
  /** The exec string as ssh2 decoded it; empty for the user's shell. */
  readonly command: string
  readonly environment: ReceivedEnvironment
  /** What the client's key allows. */
  readonly permissions: KeyOptions
  readonly pty: PtyRequest | undefined
  /** Of a client that came over vsock. */
  readonly peerCid: number | undefined
  /** Port -> bind address of the ways back that this connection may be asked for. */
  readonly forwards: ReadonlyMap<number, string>
  /** Where cpud may not mount: the one that each session gets. */
  readonly userNamespace: UserNamespace | undefined
  /** Who runs the programs, if not cpud's own user. */
  readonly user: User | undefined
  readonly log: (line: string) => void
}

/** Without what joins it to this session: files and streams. */
type PlannedProgram = Omit<
  ProgramRequest,
  'fileConnectionFd' | 'fuseDevice' | 'syncPath' | 'stdio' | 'controllingTerminal'
>

/** Of a program that has none. */
export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const HANGUP_GRACE_MS = 2000
const DRAIN_LIMIT_MS = 2000

export class Session {
  readonly #options: SessionOptions
  #program: Program | undefined
  #files: FileConnection | undefined
  #stdio: Stdio | undefined
  /** Those that came while the files were connected; each once, as the kernel keeps them. */
  readonly #waitingSignals = new Set<string>()
  #closed = false
  #over: Promise<void> = Promise.resolve()

  constructor(options: SessionOptions) {
    this.#options = options
  }

  /** Runs the session to its end. Never rejects: failures are told to the client and the log. */
  run(): Promise<void> {
    this.#over = this.#run()
    return this.#over
  }

  async #run(): Promise<void> {
    const { stream, log } = this.#options
    stream.on('error', () => stream.destroy())
    stream.once('close', () => void this.#abandon())
    let end: ProgramEnd = { exitCode: EXIT_CONNECTION }
    try {
      end = await this.#runProgram()
    } catch (error) {
      this.#say(describeError(error))
    } finally {
      this.#files?.close()
      log(`session ended with ${end.exitCode}`)
      this.#leave(end)
    }
  }

  resize(rows: number, columns: number): void {
    this.#stdio?.resize(rows, columns)
  }

  /** Delivers a signal given by its name without SIG, as SSH has it; to a program that is still to start, when it does. */
  signal(name: string): void {
    const signal = `SIG${name}`
    if (!(signal in os.constants.signals)) return
    if (this.#program === undefined) this.#waitingSignals.add(signal)
    else this.#program.signal(signal)
  }

  /** Ends the session from outside: HUP to the program, a moment later KILL to everything. */
  async hangUp(): Promise<void> {
    this.#program?.signal('SIGHUP')
    await Promise.race([this.#over, setTimeout(HANGUP_GRACE_MS, undefined, { ref: false })])
    await this.#abandon()
  }

  /** The client is gone: its files first, so that nothing waits for them, then every process. */
  async #abandon(): Promise<void> {
    this.#closed = true
    this.#files?.close()
    await this.#program?.end()
    this.#stdio?.destroy()
  }

  async #runProgram(): Promise<ProgramEnd> {
    const { environment, command, permissions, pty, user, stream } = this.#options
    const request = restrictRequest(environment.decode(command), permissions, user)
    this.#files = await this.#connectFiles(request)
    const planned = await this.#plan(request)
    if (this.#closed) throw new Error('the client went away')
    this.#stdio = openStdio(pty, user)
    const program = spawnProgram({
      ...planned,
      ...(this.#files === undefined ? {} : { ...this.#files.toMount(), syncPath: MOUNT_ROOT }),
      stdio: this.#stdio.childDescriptors,
      controllingTerminal: pty !== undefined,
    })
    this.#program = program
    const outcome = this.#follow(program)
    for (const signal of this.#waitingSignals) program.signal(signal)
    this.#stdio.join(stream)
    return await this.#finish(program, this.#stdio, await outcome, planned.argv[0]!)
  }

  /** What is to run, where and with which mounts; what of that cannot be is said. */
  async #plan(request: SessionRequest): Promise<PlannedProgram> {
    const { exec, fstab, strictness, ninepOptions, program: environment } = request
    const hasFiles = this.#files !== undefined
    const { steps, problems } = await resolveDevices(
      sessionPlan({
        fstabText: fstab,
        files: this.#files?.protocol,
        ninep: parseNinePOptions(ninepOptions),
        release: kernelRelease(),
        strict: strictness.fstab,
      }),
    )
    for (const problem of problems) this.#say(problem.message)
    if (strictness.fstab && problems.some(({ severity }) => severity === 'error'))
      throw new CpuError('ERR_CPU_FSTAB', 'the fstab has errors, so nothing was run (-fstab-strict)')
    const directories = workingDirectoryCandidates(
      environment.get('PWD')?.toString('latin1') ?? '/',
      hasFiles,
    )
    if (hasFiles) environment.set('PWD', Buffer.from(directories[0] ?? '/', 'latin1'))
    if (!environment.has('PATH')) environment.set('PATH', Buffer.from(DEFAULT_PATH))
    const { pty, userNamespace, user } = this.#options
    if (pty !== undefined && pty.term !== '' && !environment.has('TERM'))
      environment.set('TERM', Buffer.from(pty.term))
    const argv = exec.args.length > 0 ? exec.args : [environment.get('SHELL') ?? Buffer.from('/bin/sh')]
    return {
      steps,
      mountNamespace: steps.length > 0,
      ...(steps.length > 0 && userNamespace !== undefined ? { userNamespace } : {}),
      argv,
      executables: executableCandidates(argv[0]!, environment.get('PATH')!),
      env: [...environment].map(([key, value]) => Buffer.concat([Buffer.from(`${key}=`), value])),
      workingDirectories: (hasFiles || strictness.directory ? directories : [...directories, '/']).map(
        directory => Buffer.from(directory, 'latin1'),
      ),
      ...(user === undefined ? {} : { credentials: user }),
    }
  }

  #follow(program: Program): Promise<ProgramExit | ProgramFailure> {
    program.on('fuse', device => this.#files?.join(device))
    if (this.#files?.protocol === 'fuse' && this.#files.isDirect)
      program.once('started', pid => widenReadAhead(pid, MOUNT_ROOT))
    program.on('step-failed', (step, error) => this.#say(`${step.origin}: ${error.message}`))
    return outcomeOf(program)
  }

  async #finish(
    program: Program,
    stdio: Stdio,
    outcome: ProgramExit | ProgramFailure,
    name: Buffer,
  ): Promise<ProgramEnd> {
    // What the program left behind dies now, and with it the last writers of its output.
    await program.end()
    const problem = 'error' in outcome ? outcome.error : outcome.problem
    // Without a supervisor some may live on, with its output open.
    const mayLast = problem?.code === 'ERR_CPU_SPAWN_SUPERVISOR'
    await (mayLast ? Promise.race([stdio.drained, setTimeout(DRAIN_LIMIT_MS)]) : stdio.drained)
    if ('error' in outcome) {
      this.#say(describeFailure(outcome, name))
      return { exitCode: outcome.stage === 'exec' ? outcome.exitCode : EXIT_CONNECTION }
    }
    if (outcome.problem !== undefined) this.#say(outcome.problem.message)
    if ('code' in outcome) return { exitCode: outcome.code }
    const exitCode = signalExitCode(signalNumber(outcome.signal))
    return { exitCode, signal: outcome.signal as NodeJS.Signals }
  }

  /** Undefined where the request brings none. */
  async #connectFiles({
    exec: { filePort: port },
    nonce,
    directFiles: direct,
    protocols,
  }: SessionRequest): Promise<FileConnection | undefined> {
    if (port === undefined) return undefined
    const host = this.#options.forwards.get(port)
    if (host === undefined)
      throw new Error(`the command names port ${port} for the files, which was not forwarded`)
    if (nonce === undefined) throw new Error('the client sent no CPUNONCE for the file connection')
    const { client, peerCid, userNamespace, user } = this.#options
    return connectFiles(client, {
      protocols,
      mayMountNineP: userNamespace === undefined,
      sessionIds: userNamespace === undefined ? user : idsInside(userNamespace),
      forward: { host, port, nonce },
      direct,
      peerCid,
    })
  }

  /** One line on the program's stderr. */
  #say(message: string): void {
    this.#options.log(message)
    if (this.#options.stream.writable)
      this.#options.stream.stderr.write(`cpud: ${message}${this.#options.pty ? '\r\n' : '\n'}`)
  }

  #leave(end: ProgramEnd): void {
    const { stream } = this.#options
    if (!stream.writable) return
    // ssh2 ends with stdout, whatever of stderr still waits for the window.
    stream.stderr.end(() => {
      sendProgramEnd(stream, end)
      stream.end()
    })
  }
}

function outcomeOf(program: Program): Promise<ProgramExit | ProgramFailure> {
  return new Promise(resolve => {
    program.once('exit', resolve)
    program.once('failed', resolve)
  })
}

function signalNumber(name: string): number {
  return os.constants.signals[name as NodeJS.Signals] ?? Number(name.slice('SIG'.length))
}

function describeFailure(failure: ProgramFailure, name: Buffer): string {
  const { step, error } = failure
  if (step?.op === 'mount' && step.type === '9p' && error.code === 'ENODEV')
    return `${error.message} (this kernel has no 9P: leave out -files 9p, or boot one that has)`
  // Of a line of the fstab, which has a number.
  const line = step?.origin.includes(':') === true ? `${step.origin}: ` : ''
  if (failure.stage !== 'exec') return line + describeError(error)
  if (failure.exitCode === 127) return `${name}: command not found`
  return `${name}: cannot be executed: ${error.message}`
}
