// One session: the user's files fetched back through the connection, the plan applied, the program run, its
// streams joined to the channel, its exit code sent; afterwards nothing of it is left.
import os from 'node:os'
import { setTimeout } from 'node:timers/promises'
import type ssh2 from 'ssh2'
import { EXIT_CONNECTION, signalExitCode } from '../cli/exit-codes.js'
import { describeError } from '../cli/main.js'
import type { FileProtocol } from '../namespace/file-protocol.js'
import { parseNinePOptions } from '../namespace/ninep-options.js'
import { MOUNT_ROOT } from '../namespace/plan.js'
import { sessionPlan } from '../namespace/session-plan.js'
import { workingDirectoryCandidates } from '../namespace/working-directory.js'
import { type Program, type ProgramExit, type ProgramFailure, spawnProgram } from '../native/spawn.js'
import { idsInside, type UserNamespace } from '../native/user-namespace.js'
import type { DirectFiles, ReceivedEnvironment } from '../ssh/exec-request.js'
import type { KeyOptions } from '../ssh/key-options.js'
import { type ProgramEnd, sendProgramEnd } from '../ssh/program-end.js'
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
  readonly log: (line: string) => void
}

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const HANGUP_GRACE_MS = 2000

export class Session {
  readonly #options: SessionOptions
  #program: Program | undefined
  #files: FileConnection | undefined
  #stdio: Stdio | undefined
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

  /** Delivers a signal given by its name without SIG, as SSH has it. */
  signal(name: string): void {
    const signal = `SIG${name}`
    if (signal in os.constants.signals) this.#program?.signal(signal as NodeJS.Signals)
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
    const {
      exec,
      nonce,
      directFiles,
      protocols,
      ninepOptions,
      fstab,
      program: environment,
    } = restrictRequest(this.#options.environment.decode(this.#options.command), this.#options.permissions)
    if (exec.filePort !== undefined)
      this.#files = await this.#connectFiles(exec.filePort, nonce, directFiles, protocols)
    if (this.#closed) throw new Error('the client went away')
    const hasFiles = this.#files !== undefined
    const { steps, problems } = sessionPlan({
      fstabText: fstab,
      files: this.#files?.protocol,
      ninep: parseNinePOptions(ninepOptions),
      release: os.release(),
    })
    for (const problem of problems) this.#say(problem.message)
    const directories = workingDirectoryCandidates(
      environment.get('PWD')?.toString('latin1') ?? '/',
      hasFiles,
    )
    if (hasFiles) environment.set('PWD', Buffer.from(directories[0] ?? '/', 'latin1'))
    if (!environment.has('PATH')) environment.set('PATH', Buffer.from(DEFAULT_PATH))
    const args = exec.args.length > 0 ? exec.args : [environment.get('SHELL') ?? Buffer.from('/bin/sh')]
    this.#stdio = openStdio(this.#options.pty)
    const { userNamespace } = this.#options
    const program = spawnProgram({
      steps,
      mountNamespace: steps.length > 0,
      ...(steps.length > 0 && userNamespace !== undefined ? { userNamespace } : {}),
      ...(this.#files === undefined ? {} : { ...this.#files.toMount(), syncPath: MOUNT_ROOT }),
      argv: args,
      executables: executableCandidates(args[0]!, environment.get('PATH')!),
      env: [...environment].map(([key, value]) => Buffer.concat([Buffer.from(`${key}=`), value])),
      workingDirectories: (hasFiles ? directories : [...directories, '/']).map(directory =>
        Buffer.from(directory, 'latin1'),
      ),
      stdio: this.#stdio.childDescriptors,
      controllingTerminal: this.#options.pty !== undefined,
    })
    this.#program = program
    const outcome = outcomeOf(program)
    program.on('fuse', device => this.#files?.join(device))
    if (this.#files?.protocol === 'fuse' && this.#files.isDirect)
      program.once('started', pid => widenReadAhead(pid, MOUNT_ROOT))
    program.on('step-failed', (step, error) => this.#say(`${step.origin}: ${error.message}`))
    this.#stdio.join(this.#options.stream)
    return await this.#finish(program, this.#stdio, await outcome, args[0]!)
  }

  async #finish(
    program: Program,
    stdio: Stdio,
    outcome: ProgramExit | ProgramFailure,
    name: Buffer,
  ): Promise<ProgramEnd> {
    // What the program left behind dies now, and with it the last writers of its output.
    await program.end()
    await stdio.drained
    if ('error' in outcome) {
      this.#say(describeFailure(outcome, name))
      return { exitCode: outcome.stage === 'exec' ? outcome.exitCode : EXIT_CONNECTION }
    }
    if (outcome.problem !== undefined) this.#say(outcome.problem.message)
    if ('code' in outcome) return { exitCode: outcome.code }
    const exitCode = signalExitCode(signalNumber(outcome.signal))
    return { exitCode, signal: outcome.signal as NodeJS.Signals }
  }

  async #connectFiles(
    port: number,
    nonce: string | undefined,
    direct: DirectFiles | undefined,
    protocols: readonly FileProtocol[],
  ): Promise<FileConnection> {
    const host = this.#options.forwards.get(port)
    if (host === undefined)
      throw new Error(`the command names port ${port} for the files, which was not forwarded`)
    if (nonce === undefined) throw new Error('the client sent no CPUNONCE for the file connection')
    const { client, peerCid, userNamespace } = this.#options
    return connectFiles(client, {
      protocols,
      sessionIds: userNamespace === undefined ? undefined : idsInside(userNamespace),
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
  if (failure.stage !== 'exec') return describeError(error)
  if (failure.exitCode === 127) return `${name}: command not found`
  return `${name}: cannot be executed: ${error.message}`
}
