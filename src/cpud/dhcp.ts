// A client of DHCP for one interface (RFC 2131, section 4.4): asks until a server answers, and keeps what it was given
// by renewing it. Called by init-network.ts where `ip=dhcp` says so.
//
// What is left out, since a machine under test has no use for it: DECLINE (nobody here probes for an address in use),
// RELEASE, INFORM, the memory of an earlier lease, and options that are spread over several fields.

import { randomInt } from 'node:crypto'
import dgram from 'node:dgram'
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { broadcastSocket, classPrefix, prefixOf, setInterfaceUp } from '../native/system.js'
import type { Ipv4Settings } from './boot-config.js'
import {
  type DhcpReply,
  type DhcpRequest,
  decodeReply,
  encodeRequest,
  messageType,
  option,
} from './dhcp-message.js'

export interface Lease {
  readonly ipv4: Ipv4Settings
  readonly server: string
  /** Counted from the request; infinite for a lease without end. */
  readonly renewMs: number
  readonly rebindMs: number
  readonly leaseMs: number
}

const CLIENT_PORT = 68
const SERVER_PORT = 67
const BROADCAST = '255.255.255.255'
/** A server that made an offer and does not keep to it for so long is given up. */
const REQUEST_LIMIT_MS = 10_000
const MAX_PAUSE_MS = 64_000
const MIN_RENEWAL_PAUSE_MS = 60_000
const MAX_TIMER_MS = 0x7fff_ffff
const MAX_MESSAGE_SIZE = 1472
const FOREVER = 0xffff_ffff

/**
 * Brings the interface up and holds an address for it, without end. `onLease` is called with each lease whose settings
 * are not those of the one before, and without one when it has run out. Throws a SystemError where there is no such
 * interface, or its port is taken.
 */
export async function holdLease(name: string, onLease: (lease: Lease | undefined) => void): Promise<never> {
  setInterfaceUp(name)
  const client = new DhcpClient(name)
  for (;;) {
    const lease = await client.acquire()
    onLease(lease)
    await client.keep(lease, onLease)
    onLease(undefined)
  }
}

interface Question extends Pick<DhcpRequest, 'type' | 'clientAddress' | 'options'> {
  readonly to: string
  readonly isAnswer: (reply: DhcpReply) => boolean
  /** How long to wait before it is asked again. */
  readonly pauseMs: (attempt: number, leftMs: number) => number
  /** By performance.now(). */
  readonly deadline: number
}

class DhcpClient {
  readonly #socket: dgram.Socket
  readonly #hardwareAddress: Uint8Array
  #transaction = 0

  constructor(name: string) {
    const address = readFileSync(`/sys/class/net/${name}/address`, 'latin1').trim()
    this.#hardwareAddress = Buffer.from(address.replaceAll(':', ''), 'hex')
    this.#socket = dgram.createSocket('udp4').bind({ fd: broadcastSocket(name, CLIENT_PORT) })
    // The next attempt may get through.
    this.#socket.on('error', () => {})
  }

  /** Until there is a lease. */
  async acquire(): Promise<Lease> {
    for (;;) {
      this.#transaction = randomInt(2 ** 32)
      const offer = await this.#ask({
        type: messageType.discover,
        options: this.#wishes(),
        to: BROADCAST,
        isAnswer: reply => reply.type === messageType.offer && readLease(reply) !== undefined,
        pauseMs: backoff,
        deadline: Number.POSITIVE_INFINITY,
      })
      const lease = await this.#accept(offer!)
      if (lease !== undefined) return lease
      await sleep(1000)
    }
  }

  /** Until it has run out, or is taken away. */
  async keep(lease: Lease, onLease: (lease: Lease) => void): Promise<void> {
    for (let held = lease; ; ) {
      const start = performance.now()
      await sleepUntil(start + held.renewMs)
      const renewed =
        (await this.#renew(held, held.server, start + held.rebindMs)) ??
        (await this.#renew(held, BROADCAST, start + held.leaseMs))
      const next = renewed && acknowledged(renewed)
      if (next === undefined) return
      if (JSON.stringify(next.ipv4) !== JSON.stringify(held.ipv4)) onLease(next)
      held = next
    }
  }

  async #accept(offer: DhcpReply): Promise<Lease | undefined> {
    const identifier = offer.options.get(option.serverIdentifier)!
    const server = firstAddress(identifier)
    const answer = await this.#ask({
      type: messageType.request,
      options: [
        [option.requestedAddress, offer.yourAddress],
        [option.serverIdentifier, identifier],
        ...this.#wishes(),
      ],
      to: BROADCAST,
      isAnswer: reply =>
        isVerdict(reply) && firstAddress(reply.options.get(option.serverIdentifier)) === server,
      pauseMs: backoff,
      deadline: performance.now() + REQUEST_LIMIT_MS,
    })
    return answer && acknowledged(answer)
  }

  #renew({ ipv4: { address } }: Lease, to: string, deadline: number): Promise<DhcpReply | undefined> {
    this.#transaction = randomInt(2 ** 32)
    return this.#ask({
      type: messageType.request,
      clientAddress: Uint8Array.from(address.split('.').map(Number)),
      options: this.#wishes(),
      to,
      isAnswer: isVerdict,
      pauseMs: (_attempt, leftMs) => Math.max(MIN_RENEWAL_PAUSE_MS, leftMs / 2),
      deadline,
    })
  }

  /** Asks until there is an answer; undefined after the deadline. */
  #ask({ to, isAnswer, pauseMs, deadline, ...request }: Question): Promise<DhcpReply | undefined> {
    const transaction = this.#transaction
    const hardwareAddress = this.#hardwareAddress
    const message = encodeRequest({ ...request, transaction, hardwareAddress })
    return new Promise(resolve => {
      let timer: NodeJS.Timeout | undefined
      const finish = (reply?: DhcpReply) => {
        clearTimeout(timer)
        this.#socket.off('message', receive)
        resolve(reply)
      }
      const receive = (bytes: Buffer) => {
        const reply = decodeReply(bytes)
        const isOurs =
          reply?.transaction === transaction && Buffer.compare(reply.hardwareAddress, hardwareAddress) === 0
        if (isOurs && isAnswer(reply)) finish(reply)
      }
      const send = (attempt: number) => {
        this.#socket.send(message, SERVER_PORT, to, () => {})
        const leftMs = Math.max(0, deadline - performance.now())
        const waitMs = Math.min(pauseMs(attempt, leftMs), MAX_TIMER_MS)
        timer = waitMs < leftMs ? setTimeout(send, waitMs, attempt + 1) : setTimeout(finish, leftMs)
      }
      this.#socket.on('message', receive)
      send(0)
    })
  }

  #wishes(): DhcpRequest['options'] {
    const size = Buffer.alloc(2)
    size.writeUInt16BE(MAX_MESSAGE_SIZE)
    const { subnetMask, router, nameServer, leaseTime, renewalTime, rebindingTime } = option
    const name = hostname()
    return [
      [option.clientIdentifier, Uint8Array.of(1, ...this.#hardwareAddress)],
      [option.maxMessageSize, size],
      [
        option.parameterList,
        Uint8Array.of(subnetMask, router, nameServer, leaseTime, renewalTime, rebindingTime),
      ],
      // Some servers make a name in the DNS of it. The kernel's own name for a machine without one has brackets.
      ...(/^[\w.-]{1,63}$/.test(name) ? [[option.hostName, Buffer.from(name)] as const] : []),
    ]
  }
}

/** 1, 2, 4 ... 64 s, each half a second sooner or later, so that machines that start together do not ask together. */
function backoff(attempt: number): number {
  return Math.min(1000 * 2 ** attempt, MAX_PAUSE_MS) + randomInt(-500, 500)
}

async function sleepUntil(time: number): Promise<void> {
  for (;;) {
    const leftMs = time - performance.now()
    if (leftMs <= 0) return
    await sleep(Math.min(leftMs, MAX_TIMER_MS))
  }
}

function isVerdict({ type }: DhcpReply): boolean {
  return type === messageType.ack || type === messageType.nak
}

function acknowledged(reply: DhcpReply): Lease | undefined {
  return reply.type === messageType.ack ? readLease(reply) : undefined
}

/** Undefined where what a lease must have is missing or makes no sense. */
export function readLease({ yourAddress, options }: DhcpReply): Lease | undefined {
  const address = firstAddress(yourAddress)!
  const server = firstAddress(options.get(option.serverIdentifier))
  const mask = firstAddress(options.get(option.subnetMask))
  const gateway = firstAddress(options.get(option.router))
  const nameservers = addresses(options.get(option.nameServer))
  const seconds = number(options.get(option.leaseTime)) ?? FOREVER
  if (address === '0.0.0.0' || server === undefined || seconds === 0) return undefined
  const prefix = mask === undefined ? classPrefix(address) : prefixLength(mask)
  if (prefix === undefined) return undefined
  const leaseMs = seconds === FOREVER ? Number.POSITIVE_INFINITY : seconds * 1000
  const part = (code: number, share: number) => {
    const given = number(options.get(code))
    return Math.min(given === undefined ? leaseMs * share : Math.max(given, 1) * 1000, leaseMs)
  }
  return {
    ipv4: {
      address,
      prefix,
      ...(gateway === undefined ? {} : { gateway }),
      ...(nameservers.length === 0 ? {} : { nameservers }),
    },
    server,
    leaseMs,
    renewMs: part(option.renewalTime, 0.5),
    rebindMs: part(option.rebindingTime, 0.875),
  }
}

function prefixLength(mask: string): number | undefined {
  try {
    return prefixOf(mask)
  } catch {
    return undefined
  }
}

/** The first of the addresses in an option. */
function firstAddress(bytes: Uint8Array | undefined): string | undefined {
  return addresses(bytes)[0]
}

function addresses(bytes: Uint8Array | undefined): string[] {
  const count = Math.floor((bytes?.length ?? 0) / 4)
  return Array.from({ length: count }, (_, index) => bytes!.subarray(index * 4, index * 4 + 4).join('.'))
}

function number(bytes: Uint8Array | undefined): number | undefined {
  return bytes?.length === 4 ? Buffer.from(bytes).readUInt32BE() : undefined
}
