// What a guest's PID 1 and its launcher say to each other on a serial line: one JSON object per line.
// The guest's side; the launcher uses the types.

import type { Duplex } from 'node:stream'

/** From the guest. */
export type GuestEvent =
  /** PID 1 runs; whatever goes wrong from here on is told. */
  | { readonly event: 'booting' }
  | { readonly event: 'warning'; readonly message: string }
  /** All is set up but who this machine is: asks for `identity`. Up to here, machines of one kind do not differ. */
  | { readonly event: 'waiting' }
  /** Asks for `clock`. */
  | { readonly event: 'clock' }
  /** Sessions are accepted at these addresses. */
  | {
      readonly event: 'ready'
      /** As `uname -r` says. */
      readonly kernel: string
      /** Since the kernel started. */
      readonly uptimeMs: number
      readonly listening: readonly string[]
    }
  /** The machine powers off for this reason. */
  | { readonly event: 'failed'; readonly message: string }
  /** The answer to `kernel-log`. */
  | ({ readonly event: 'kernel-log' } & KernelLogReport)

/** What the kernel itself logged since PID 1 was ready, or since the last such report. */
export interface KernelLogReport {
  /** Warnings and worse, oldest first. */
  readonly lines: readonly string[]
  /** How many more there were. */
  readonly omitted: number
  /** Whether the kernel had dropped some before they were read. */
  readonly overrun: boolean
  /** /proc/sys/kernel/tainted: when PID 1 was ready, and now. */
  readonly taints: { readonly before: number; readonly now: number }
}

/** To the guest. */
export type GuestRequest =
  | { readonly request: 'poweroff' | 'restart' | 'kernel-log' }
  /** Ends the sessions and whoever serves them: back to `waiting`. */
  | { readonly request: 'forget' }
  /** The answer to `clock`: the launcher's time, in milliseconds since 1970, at which it was told. */
  | { readonly request: 'clock'; readonly unixMs: number }
  /** The answer to `waiting`. */
  | ({ readonly request: 'identity' } & GuestIdentity)

/** What a machine has that no other has, a copy of its memory included. */
export interface GuestIdentity {
  readonly hostname: string
  /** Text in the form of sshd's authorized_keys. */
  readonly authorizedKeys: string
  /** OpenSSH private key text. */
  readonly hostKey: string
  /** At least 32 random bytes, in base64. */
  readonly seed: string
}

/** What a Date can hold. */
const MAX_UNIX_MS = 8.64e15
const LEAST_SEED_BYTES = 32
/** Longer lines are noise, not requests. */
const MAX_LINE_LENGTH = 64 * 1024

/** Undefined for what is no request. */
export function parseGuestRequest(line: string): GuestRequest | undefined {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value !== 'object' || value === null || !('request' in value)) return undefined
    const { request } = value
    switch (request) {
      case 'poweroff':
      case 'restart':
      case 'kernel-log':
      case 'forget':
        return { request }
      case 'clock':
        return parseClock(value)
      case 'identity':
        return parseIdentityRequest(value)
      default:
        return undefined
    }
  } catch {
    return undefined
  }
}

function parseClock(value: object): GuestRequest | undefined {
  const { unixMs } = value as { readonly unixMs?: unknown }
  if (typeof unixMs !== 'number' || unixMs <= 0 || unixMs >= MAX_UNIX_MS) return undefined
  return { request: 'clock', unixMs }
}

function parseIdentityRequest(value: object): GuestRequest | undefined {
  const { hostname, authorizedKeys, hostKey, seed } = value as Readonly<Record<string, unknown>>
  if (typeof hostname !== 'string' || typeof authorizedKeys !== 'string') return undefined
  if (typeof hostKey !== 'string' || typeof seed !== 'string') return undefined
  if (Buffer.from(seed, 'base64').length < LEAST_SEED_BYTES) return undefined
  return { request: 'identity', hostname, authorizedKeys, hostKey, seed }
}

/** The guest's end of the line. A line that is no request is answered with a warning. */
export class GuestControl {
  readonly #stream: Duplex
  #partial = ''

  constructor(stream: Duplex, onRequest: (request: GuestRequest) => void) {
    this.#stream = stream
    // A launcher that is gone must not take the guest with it.
    stream.on('error', () => {})
    stream.on('data', (chunk: Buffer) => {
      for (const line of this.#lines(chunk)) this.#receive(line, onRequest)
    })
  }

  send(event: GuestEvent): void {
    if (this.#stream.writable) this.#stream.write(`${JSON.stringify(event)}\n`)
  }

  /** Resolves when all that was sent is with the kernel, or after `timeoutMs`: nobody may be reading. */
  flush(timeoutMs: number): Promise<void> {
    return new Promise(resolve => {
      if (!this.#stream.writable) return resolve()
      const timer = setTimeout(resolve, timeoutMs)
      this.#stream.write('', () => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  #lines(chunk: Buffer): string[] {
    const lines = (this.#partial + chunk.toString('latin1')).split(/[\r\n]+/)
    this.#partial = lines.pop()!.slice(0, MAX_LINE_LENGTH)
    return lines.filter(line => line.trim() !== '')
  }

  #receive(line: string, onRequest: (request: GuestRequest) => void): void {
    const request = parseGuestRequest(line)
    if (request) onRequest(request)
    else this.send({ event: 'warning', message: `unknown request: ${line.slice(0, 100)}` })
  }
}
