// Connections that have not logged in yet. They cost whoever makes them nothing, so there is a limit to their number and
// time, and no flood of them keeps out those who do log in.
import type { Duplex } from 'node:stream'
import { formatDuration } from '../cli/duration.js'
import type { Peer } from '../transport/listen.js'

export interface ArrivalLimits {
  /** So many may be connected and not logged in. */
  readonly maxStartups: number
  readonly loginGraceMs: number
}

/** How far a connection has come. */
export const stage = { connected: 0, greeted: 1, keyed: 2, loggedIn: 3 } as const

const MISSING = ['no SSH banner came', 'closed before the keys were exchanged', 'closed without login']
/** A peer that has been told the end hangs up, or is hung up on. */
export const DISCONNECT_TIMEOUT_MS = 1000
/** What a peer that reads nothing may have us keep for it. */
const MAX_UNREAD_BYTES = 8 * 1024 * 1024

/** One connection, from when it was accepted; whatever ends it by force is said in one line of the log. */
export class Arrival {
  stage: number = stage.connected
  /** Why no key was good enough, for the log. */
  refusal: string | undefined
  readonly stream: Duplex
  readonly peer: Peer
  readonly #log: (line: string) => void
  #isTold = false

  constructor(stream: Duplex, peer: Peer, log: (line: string) => void) {
    this.stream = stream
    this.peer = peer
    this.#log = log
    stream.on('error', () => stream.destroy())
    stream.once('finish', () => setTimeout(() => stream.destroy(), DISCONNECT_TIMEOUT_MS).unref())
    stream.once('close', () => this.#closed())
  }

  log(line: string): void {
    this.#log(`${this.peer.name}: ${line}`)
  }

  /** Ends the connection at once. */
  fail(reason: string): void {
    if (!this.#isTold) this.log(reason)
    this.dismiss()
  }

  /** The same, without a word. */
  dismiss(): void {
    this.#isTold = true
    this.stream.destroy()
  }

  /** Only once somebody else has taken the stream over and paused it: this must not set it flowing. */
  watchUnread(): void {
    this.stream.on('data', () => {
      if (this.stream.writableLength > MAX_UNREAD_BYTES) this.fail('asks and does not read the answers')
    })
  }

  #closed(): void {
    const missing = MISSING[this.stage]
    if (this.#isTold || missing === undefined) return
    this.log(this.refusal === undefined ? missing : `${missing}: ${this.refusal}`)
  }
}

export class Arrivals {
  readonly #limits: ArrivalLimits
  readonly #log: (line: string) => void
  /** All that are not logged in, the oldest first, and what ends their time. */
  readonly #waiting = new Map<Arrival, NodeJS.Timeout>()
  #dismissed = 0

  constructor(limits: ArrivalLimits, log: (line: string) => void) {
    this.#limits = limits
    this.#log = log
  }

  /** Takes one in; beyond the limit, the one goes for it that is least likely to log in. */
  admit(stream: Duplex, peer: Peer): Arrival {
    if (this.#waiting.size >= this.#limits.maxStartups) this.#makeRoom()
    const arrival = new Arrival(stream, peer, this.#log)
    const { loginGraceMs } = this.#limits
    const grace = setTimeout(
      () => arrival.fail(`no login within ${formatDuration(loginGraceMs)}`),
      loginGraceMs,
    )
    this.#waiting.set(arrival, grace)
    stream.once('close', () => this.#leave(arrival))
    return arrival
  }

  /** Ends all that have not logged in. */
  close(): void {
    for (const arrival of this.#waiting.keys()) arrival.dismiss()
  }

  /** It has logged in: neither counted nor timed any more. */
  settle(arrival: Arrival): void {
    arrival.stage = stage.loggedIn
    this.#leave(arrival)
  }

  #leave(arrival: Arrival): void {
    clearTimeout(this.#waiting.get(arrival))
    this.#waiting.delete(arrival)
    if (this.#dismissed === 0 || this.#waiting.size > this.#limits.maxStartups / 2) return
    this.#log(`${this.#dismissed} connections were closed to make room for others`)
    this.#dismissed = 0
  }

  #makeRoom(): void {
    const victim = leastPromising([...this.#waiting.keys()])
    if (victim === undefined) return
    if (this.#dismissed++ === 0)
      this.#log(`${this.#limits.maxStartups} connections have not logged in: closing one for each that comes`)
    clearTimeout(this.#waiting.get(victim))
    this.#waiting.delete(victim)
    victim.dismiss()
  }
}

/** Of those that are least far, the oldest of the peer that has most. */
function leastPromising(arrivals: readonly Arrival[]): Arrival | undefined {
  const least = Math.min(...arrivals.map(arrival => arrival.stage))
  const behind = arrivals.filter(arrival => arrival.stage === least)
  const crowds = new Map<string, number>()
  for (const { peer } of behind) crowds.set(peer.address, (crowds.get(peer.address) ?? 0) + 1)
  const most = Math.max(...crowds.values())
  return behind.find(({ peer }) => crowds.get(peer.address) === most)
}
