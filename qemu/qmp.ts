// A client of QEMU's control protocol: QMP, docs/interop/qmp-spec in QEMU. One JSON object per line; answers have the id of
// their command, events have none. QEMU serves one client at a time.

import type { Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { CpuError } from '../src/errors.js'
import { connectSocket } from './connect-socket.js'

const CONNECT_LIMIT_MS = 10_000

interface Message {
  readonly id?: number
  readonly return?: unknown
  readonly error?: { readonly desc: string }
  readonly event?: string
  readonly data?: Readonly<Record<string, unknown>>
}

interface Waiting {
  /** Whether this is what is waited for. */
  readonly takes: (message: Message) => boolean
  readonly resolve: (message: Message) => void
  readonly reject: (reason: unknown) => void
}

export class Qmp implements Disposable {
  readonly #socket: Socket
  readonly #signal: AbortSignal
  readonly #waiting = new Set<Waiting>()
  readonly #onAbort: () => void
  #nextId = 1

  private constructor(socket: Socket, signal: AbortSignal) {
    this.#socket = socket
    this.#signal = signal
    this.#onAbort = () => this.#fail(signal.reason)
    signal.addEventListener('abort', this.#onAbort, { once: true })
    const lines = createInterface({ input: socket, crlfDelay: Number.POSITIVE_INFINITY })
    lines.on('line', line => this.#receive(line))
    // Told by the close that follows, with its pending commands.
    for (const stream of [socket, lines]) stream.on('error', () => undefined)
    socket.once('close', () =>
      this.#fail(new CpuError('ERR_CPU_VM_QMP', 'QEMU has closed its control socket (QMP)')),
    )
  }

  /**
   * Connects to a QEMU that listens at `path`. When the signal is aborted everything pending is rejected with its reason.
   * Throws CpuError ERR_CPU_VM_QMP, as all methods do.
   */
  static async open(path: string, signal: AbortSignal): Promise<Qmp> {
    const qmp = new Qmp(await connectQemu(path, signal), signal)
    try {
      await qmp.execute('qmp_capabilities')
      return qmp
    } catch (error) {
      qmp[Symbol.dispose]()
      throw error
    }
  }

  /** Resolves to what QEMU returns. */
  async execute(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const id = this.#nextId++
    const answer = this.#wait(message => message.id === id)
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`)
    const { error, return: result } = await answer
    if (error === undefined) return result
    throw new CpuError('ERR_CPU_VM_QMP', `QEMU refuses ${command}: ${error.desc}`)
  }

  /** The data of the next event of that name that `accepts` takes, from now on. */
  async event(
    name: string,
    accepts: (data: NonNullable<Message['data']>) => boolean,
  ): Promise<NonNullable<Message['data']>> {
    const { data = {} } = await this.#wait(message => message.event === name && accepts(message.data ?? {}))
    return data
  }

  #wait(takes: Waiting['takes']): Promise<Message> {
    return new Promise((resolve, reject) => {
      if (this.#signal.aborted) return reject(this.#signal.reason)
      this.#waiting.add({ takes, resolve, reject })
    })
  }

  #receive(line: string): void {
    const message = parseMessage(line)
    if (message === undefined)
      return this.#fail(new CpuError('ERR_CPU_VM_QMP', 'QEMU writes no JSON to its control socket (QMP)'))
    for (const waiting of this.#waiting) {
      if (!waiting.takes(message)) continue
      this.#waiting.delete(waiting)
      waiting.resolve(message)
    }
  }

  #fail(reason: unknown): void {
    for (const { reject } of this.#waiting) reject(reason)
    this.#waiting.clear()
  }

  [Symbol.dispose](): void {
    this.#signal.removeEventListener('abort', this.#onAbort)
    this.#socket.destroy()
  }
}

function parseMessage(line: string): Message | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}

async function connectQemu(path: string, signal: AbortSignal): Promise<Socket> {
  try {
    return await connectSocket(path, CONNECT_LIMIT_MS, signal)
  } catch (cause) {
    signal.throwIfAborted()
    const reason = (cause as Error).message
    throw new CpuError('ERR_CPU_VM_QMP', `QEMU opens no control socket (QMP): ${reason}`, { cause })
  }
}
