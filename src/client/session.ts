// One command in one SSH session: its streams, terminal, signals and exit code.
import type { Duplex, Readable, Writable } from 'node:stream'
import type { ReadStream, WriteStream } from 'node:tty'
import type ssh2 from 'ssh2'
import { CpuError } from '../errors.js'
import type { EncodedExec } from '../ssh/exec-request.js'
import { endedBy, type ProgramEnd } from '../ssh/program-end.js'
import { sendSignal } from '../ssh/send-signal.js'
import { receiveProgramEnd } from '../ssh/tell-program-end.js'
import { EscapeFilter } from './escapes.js'
import { RawTerminal } from './terminal.js'

/** Where the program's streams end; this process's own by default. */
export interface SessionStreams {
  readonly stdin: Readable
  readonly stdout: Writable
  readonly stderr: Writable
}

/** Where signals for the program come from. */
export interface SignalSource {
  /** Those from now on, and what has waited, until it is disposed of. */
  listen(deliver: (signal: NodeJS.Signals) => void): Disposable
}

export interface SessionOptions extends SessionStreams {
  readonly request: EncodedExec
  /** Whether the program gets a terminal, with the size of ours where there is one. */
  readonly terminal: boolean
  /** The terminal's type, as in `TERM`. */
  readonly terminalType: string
  /** What starts an escape where our terminal is used, if anything. */
  readonly escapeCharacter?: string | undefined
  /** By default, FORWARDED_SIGNALS to this process. */
  readonly signals?: SignalSource | undefined
  /** Ends the session: the channel is closed and the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/** Signals to `cpu` that the program gets instead. */
export const FORWARDED_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const

/** Runs the command to its end. Throws CpuError ERR_CPU_SESSION when the connection breaks. */
export async function runSession(client: ssh2.Client, options: SessionOptions): Promise<ProgramEnd> {
  const raw = options.terminal && isTerminal(options.stdin) && isTerminal(options.stdout)
  using terminal = raw
    ? new RawTerminal(options.stdin as ReadStream, options.stdout as WriteStream)
    : undefined
  return await execute(client, options, terminal, channel => attend(client, channel, options, terminal))
}

/** Follows the session to its end, with what the user does meanwhile. */
async function attend(
  client: ssh2.Client,
  channel: ssh2.ClientChannel,
  options: SessionOptions,
  terminal: RawTerminal | undefined,
): Promise<ProgramEnd> {
  let giveUp: (end: ProgramEnd) => void = () => {}
  let leave: (reason: CpuError) => void = () => {}
  const givenUp = new Promise<ProgramEnd>((resolve, reject) => {
    giveUp = resolve
    leave = reject
  })
  using _signals =
    options.signals?.listen(name => sendSignal(channel, name.slice('SIG'.length))) ??
    forwardSignals(channel, () => giveUp(endedBy('SIGINT')))
  terminal?.onResize(({ rows, columns }) => channel.setWindow(rows, columns, 0, 0))
  const escapes = terminal && escapeFilter(options, terminal, leave)
  return await Promise.race([follow(client, channel, options, escapes), givenUp])
}

function escapeFilter(
  { escapeCharacter: character, stderr }: SessionOptions,
  terminal: RawTerminal,
  leave: (reason: CpuError) => void,
): EscapeFilter | undefined {
  if (character === undefined) return undefined
  return new EscapeFilter(character, {
    leave: () => leave(new CpuError('ERR_CPU_SESSION', 'the session was left before the command ended')),
    suspend: () => terminal.suspend(),
    help: text => stderr.write(text),
  })
}

function isTerminal(stream: Readable | Writable): boolean {
  return (stream as Partial<ReadStream>).isTTY === true
}

/**
 * Asks for the command, and for what `attend` makes of its channel. That is called at once: with the answer may come,
 * in the same packet, all that a short command has to say.
 */
function execute(
  client: ssh2.Client,
  options: SessionOptions,
  terminal: RawTerminal | undefined,
  attend: (channel: ssh2.ClientChannel) => Promise<ProgramEnd>,
): Promise<ProgramEnd> {
  const { rows = 24, columns = 80 } = terminal?.size ?? {}
  const pty = { rows, cols: columns, width: 0, height: 0, term: options.terminalType }
  // The types want strings; ssh2 sends buffers as they are.
  const exec = client.exec.bind(client) as unknown as (
    command: Buffer,
    options: { env: Record<string, Buffer>; pty?: typeof pty },
    callback: (error: Error | undefined, channel: ssh2.ClientChannel) => void,
  ) => void
  return new Promise((resolve, reject) => {
    const onClose = () => reject(lost())
    client.once('close', onClose)
    exec(
      options.request.command,
      { env: options.request.environment, ...(options.terminal ? { pty } : {}) },
      (error, channel) => {
        client.off('close', onClose)
        if (error === undefined) resolve(attend(channel))
        else
          reject(
            new CpuError('ERR_CPU_SESSION', `the server refuses to run the command: ${error.message}`, {
              cause: error,
            }),
          )
      },
    )
  })
}

function lost(): CpuError {
  return new CpuError('ERR_CPU_SESSION', 'the connection was lost before the command ended')
}

function forwardSignals(channel: ssh2.ClientChannel, giveUp: () => void): Disposable {
  let interrupts = 0
  const listeners = FORWARDED_SIGNALS.map(name => {
    const listener = () => {
      if (name === 'SIGINT' && ++interrupts > 1) giveUp()
      else sendSignal(channel, name.slice('SIG'.length))
    }
    process.on(name, listener)
    return () => process.off(name, listener)
  })
  return {
    [Symbol.dispose]() {
      for (const remove of listeners) remove()
    },
  }
}

/** Joins the streams until the channel is closed, and tells how the program ended. */
function follow(
  client: ssh2.Client,
  channel: ssh2.ClientChannel,
  options: SessionOptions,
  filter: Duplex | undefined,
): Promise<ProgramEnd> {
  const { stdin, stdout, stderr, signal } = options
  const input = filter ?? channel
  const over = new AbortController()
  const listen = { signal: over.signal }
  let conclude = () => {}
  return new Promise<ProgramEnd>((resolve, reject) => {
    let end: ProgramEnd | undefined
    conclude = () => (end === undefined ? reject(lost()) : resolve(end))
    receiveProgramEnd(channel, told => {
      end = told
    })
    channel.once('close', conclude)
    client.once('close', conclude)
    // Nothing waits for the other side here: the connection is closed next, and the program dies with it.
    signal?.addEventListener('abort', () => reject(signal.reason), listen)
    const onOutputError = (error: NodeJS.ErrnoException) => {
      // Nobody reads what the program writes: it ends as if it had got SIGPIPE.
      if (error.code === 'EPIPE') resolve(endedBy('SIGPIPE'))
      else reject(error)
    }
    stdout.on('error', onOutputError)
    stderr.on('error', onOutputError)
    channel.on('error', () => channel.destroy())
    channel.pipe(stdout, { end: false })
    channel.stderr.pipe(stderr, { end: false })
    stdin.on('error', () => channel.end())
    filter?.pipe(channel)
    stdin.pipe(input)
  }).finally(() => {
    over.abort()
    client.off('close', conclude)
    stdin.unpipe(input)
    stdin.pause()
  })
}
