// The program's standard streams: three pipes, or a pseudo-terminal, and the channel at our end of them.
import { fchownSync, fstatSync } from 'node:fs'
import { finished } from 'node:stream/promises'
import type ssh2 from 'ssh2'
import { FdStream, pipe } from '../native/fd-stream.js'
import { openPty, resizePty, setTerminalModes } from '../native/pty.js'

/** What an SSH `pty-req` asks for. */
export interface PtyRequest {
  readonly rows: number
  readonly columns: number
  readonly term: string
  /** RFC 4254, section 8, by name. */
  readonly modes: Readonly<Record<string, number>>
}

export interface Stdio {
  /** For stdin, stdout and stderr of the program; whoever spawns it closes them here. */
  readonly childDescriptors: readonly [number, number, number]
  /** Resolves when all the program's output has gone into the channel. */
  readonly drained: Promise<void>
  join(channel: ssh2.ServerChannel): void
  resize(rows: number, columns: number): void
  destroy(): void
}

/** A terminal is `owner`'s, if that is not this process's user. */
export function openStdio(pty: PtyRequest | undefined, owner?: { readonly uid: number }): Stdio {
  return pty === undefined ? new PipedStdio() : new TerminalStdio(pty, owner)
}

async function settled(...streams: FdStream[]): Promise<void> {
  await Promise.all(streams.map(stream => finished(stream, { writable: false }).catch(() => {})))
}

class PipedStdio implements Stdio {
  readonly childDescriptors: readonly [number, number, number]
  readonly drained: Promise<void>
  readonly #stdin: FdStream
  readonly #stdout: FdStream
  readonly #stderr: FdStream

  constructor() {
    const [stdin, stdout, stderr] = [pipe(), pipe(), pipe()]
    this.childDescriptors = [stdin.read, stdout.write, stderr.write]
    this.#stdin = new FdStream(stdin.write, { readable: false })
    this.#stdout = new FdStream(stdout.read, { writable: false })
    this.#stderr = new FdStream(stderr.read, { writable: false })
    this.drained = settled(this.#stdout, this.#stderr)
  }

  join(channel: ssh2.ServerChannel): void {
    // The program may close its stdin early; what still comes is then read and dropped.
    this.#stdin.on('error', () => channel.unpipe(this.#stdin).resume())
    channel.pipe(this.#stdin)
    this.#stdout.on('error', () => {}).pipe(channel, { end: false })
    this.#stderr.on('error', () => {}).pipe(channel.stderr, { end: false })
  }

  resize(): void {}

  destroy(): void {
    for (const stream of [this.#stdin, this.#stdout, this.#stderr]) stream.destroy()
  }
}

class TerminalStdio implements Stdio {
  readonly childDescriptors: readonly [number, number, number]
  readonly drained: Promise<void>
  readonly #master: FdStream

  constructor(request: PtyRequest, owner: { readonly uid: number } | undefined) {
    const { master, slaveFd } = openPty({ rows: request.rows, columns: request.columns })
    if (owner !== undefined) fchownSync(slaveFd, owner.uid, fstatSync(slaveFd).gid)
    setTerminalModes(slaveFd, request.modes)
    this.#master = master
    this.childDescriptors = [slaveFd, slaveFd, slaveFd]
    this.drained = settled(master)
  }

  join(channel: ssh2.ServerChannel): void {
    this.#master.on('error', () => {})
    channel.pipe(this.#master, { end: false })
    this.#master.pipe(channel, { end: false })
  }

  resize(rows: number, columns: number): void {
    if (!this.#master.destroyed) resizePty(this.#master, rows, columns)
  }

  destroy(): void {
    this.#master.destroy()
  }
}
