// A command in a machine, for a program that has the machine: the same client and the same judgement as `cpu-vm run`.

import { PassThrough, Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type { SignalSource } from '../src/client/session.js'
import { UsageError } from '../src/errors.js'
import { CommandError, type CommandOutput, commandErrorCode } from './command-error.js'
import type {
  CommandEnd,
  CommandResult,
  MachineCommand,
  RunOptions,
  SpawnOptions,
} from './command-options.js'
import { filesByDefault, runWithFlags } from './commands/session.js'
import type { Finding } from './kernel-findings.js'
import type { KernelLogReaders } from './kernel-log-readers.js'
import type { Machine } from './machine.js'
import { findRunning } from './machine-directory.js'
import { exitCodeOf } from './result.js'
import { runIn, type Verdict } from './verdict.js'

/** A machine that commands can be run in. */
export interface CommandHost {
  readonly machine: Pick<Machine, 'name' | 'directory' | 'addresses' | 'exited'>
  readonly kernelLog: KernelLogReaders
  /** What its kernel had to complain of at boot. */
  readonly atBoot: readonly Finding[]
  /** Ends every command. */
  readonly signal: AbortSignal | undefined
}

const FAIL_ON = { oops: true, warning: false }

export function spawnCommand(
  host: CommandHost,
  argv: readonly string[],
  options: SpawnOptions,
): MachineCommand {
  const { streams, verdict, kill } = launch(host, argv, options)
  const ended = verdict.then(ending => conclude(ending, options))
  ended.catch(() => undefined)
  return { ...streams, ended, kill }
}

export async function runCommand(
  host: CommandHost,
  argv: readonly string[],
  options: RunOptions,
): Promise<CommandResult<string | Buffer>> {
  const { streams, verdict } = launch(host, argv, options)
  if (options.stdin === undefined) streams.stdin.end()
  const { encoding = 'utf8' } = options
  const text = (bytes: Buffer) => (encoding === 'buffer' ? bytes : bytes.toString(encoding))
  const [ending, stdout, stderr] = await Promise.all([
    verdict,
    buffer(streams.stdout),
    buffer(streams.stderr),
  ])
  const output = { stdout: text(stdout), stderr: text(stderr) }
  return { ...conclude(ending, options, output), ...output }
}

/** How it ended; what is thrown instead of a verdict comes as it is. */
type Ending = { readonly verdict: Verdict } | { readonly failure: unknown }

/** `verdict` never rejects, and the streams have ended when it resolves. */
function launch(host: CommandHost, argv: readonly string[], options: SpawnOptions) {
  const streams = { stdin: new Pipe(), stdout: new Pipe(), stderr: new Pipe() }
  for (const stream of Object.values(streams)) stream.on('error', () => undefined)
  const input = feed(options.stdin, streams.stdin)
  const signals = new Signals()
  const ends = [input, options.signal, host.signal].filter(signal => signal !== undefined)
  const verdict = execute(host, argv, options, { ...streams, signals }, AbortSignal.any(ends))
    .catch((failure: unknown): Ending => ({ failure }))
    .finally(() => {
      streams.stdin.destroy()
      streams.stdout.end()
      streams.stderr.end()
    })
  return { streams, verdict, kill: (signal: NodeJS.Signals = 'SIGTERM') => signals.send(signal) }
}

/** The signal is aborted when the input breaks: a command that has read half of it has not done what it was to do. */
function feed(input: SpawnOptions['stdin'], stdin: Pipe): AbortSignal {
  const broken = new AbortController()
  if (input instanceof Readable) {
    if (input.errored) broken.abort(input.errored)
    input.once('error', error => broken.abort(error))
    input.pipe(stdin)
  } else if (input !== undefined) stdin.end(input)
  return broken.signal
}

async function execute(
  { machine, kernelLog, atBoot }: CommandHost,
  argv: readonly string[],
  options: SpawnOptions,
  joints: { stdin: Pipe; stdout: Pipe; stderr: Pipe; signals: Signals },
  signal: AbortSignal,
): Promise<Ending> {
  if (argv.length === 0) throw new UsageError('no command is given')
  const { tty = false, fstabStrict = false, failOn, timeoutMs } = options
  signal.throwIfAborted()
  findRunning(machine.name)
  if (machine.addresses.length === 0)
    throw new UsageError(`no command gets into ${machine.name}, which has net none`)
  const log = kernelLog.open()
  let failure: unknown
  const session = {
    ...joints,
    terminal: tty,
    strictness: { fstab: fstabStrict, directory: options.cwd !== undefined },
  }
  try {
    const watched = { ...machine, kernelLog: log.read }
    const run = (name: string, over: AbortSignal) =>
      runWithFlags(
        flagsOf(options, name),
        name,
        argv,
        { ...session, signal: over },
        environmentOf(options),
      ).catch(error => {
        failure = error
        throw error
      })
    const verdict = await runIn(
      watched,
      { execute: run, timeoutMs, failOn: { ...FAIL_ON, ...failOn }, signal },
      atBoot,
    )
    signal.throwIfAborted()
    return verdict.outcome.kind === 'harness-error' ? { failure } : { verdict }
  } finally {
    log.close()
  }
}

function flagsOf({ cwd, files, readOnly, namespace }: SpawnOptions, machine: string): string[] {
  return [
    ...(files === undefined && namespace === undefined ? filesByDefault(machine) : []),
    ...(cwd === undefined ? [] : [`-cd=${cwd}`]),
    ...(files === undefined ? [] : [`-files=${files}`]),
    ...(namespace === undefined ? [] : [`-namespace=${namespace}`]),
    ...(readOnly ? ['-ro'] : []),
  ]
}

function environmentOf({ env = process.env, fstab }: SpawnOptions): Map<string, Buffer> {
  const variables = Object.entries(fstab === undefined ? env : { ...env, CPU_FSTAB: fstab })
  return new Map(
    variables.flatMap(([name, value]) => (value === undefined ? [] : [[name, Buffer.from(value)]])),
  )
}

/** What the caller gets. Throws CommandError, or what was thrown. */
function conclude(ending: Ending, { reject = false }: SpawnOptions, output?: CommandOutput): CommandEnd {
  if ('failure' in ending) throw ending.failure
  const { verdict } = ending
  const { outcome, kernelLog } = verdict
  const exitCode = exitCodeOf(outcome)
  const endedByItself = outcome.kind === 'exit' || outcome.kind === 'signal'
  if (!endedByItself || (reject && exitCode !== 0))
    throw new CommandError(commandErrorCode(outcome), verdict, output)
  return { exitCode, signal: outcome.kind === 'signal' ? outcome.signal : undefined, kernelLog }
}

/** Those that came before there was a command wait for it. */
class Signals implements SignalSource {
  #waiting: NodeJS.Signals[] = []
  #deliver: (signal: NodeJS.Signals) => void = signal => this.#waiting.push(signal)

  send(signal: NodeJS.Signals): void {
    this.#deliver(signal)
  }

  listen(deliver: (signal: NodeJS.Signals) => void): Disposable {
    this.#deliver = deliver
    for (const signal of this.#waiting) deliver(signal)
    this.#waiting = []
    return {
      [Symbol.dispose]: () => {
        this.#deliver = () => {}
      },
    }
  }
}

/** As between two processes: who closes an end that the other still uses breaks it, for whatever reason. */
class Pipe extends PassThrough {
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const broken = Object.assign(new Error('the other end is closed'), { code: 'EPIPE' })
    done(this.readableEnded ? error : broken)
  }
}
