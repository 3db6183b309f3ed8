// Where the other side is: the address of one stream transport, as a plain value.
// Grammar of hosts and CIDs: PROTOCOL "Session", and systemd's `vsock/CID`, `unix/PATH`, `vsock-mux/PATH` spelling.
import { BlockList, isIP } from 'node:net'
import { UsageError } from '../errors.js'

/** The port of cpud on every transport, as u-root's. */
export const DEFAULT_PORT = 17010

export type Network = 'tcp' | 'tcp4' | 'tcp6' | 'unix' | 'unix-vsock' | 'vsock'

export const NETWORKS: readonly Network[] = ['tcp', 'tcp4', 'tcp6', 'unix', 'unix-vsock', 'vsock']

export interface TcpAddress {
  readonly net: 'tcp'
  readonly host: string
  readonly port: number
  /** 0 for either family. */
  readonly family: 0 | 4 | 6
}

export interface UnixAddress {
  readonly net: 'unix'
  readonly path: string
}

/** A vsock device that a virtual machine monitor offers as a unix socket ("hybrid vsock"). */
export interface UnixVsockAddress {
  readonly net: 'unix-vsock'
  readonly path: string
  readonly port: number
}

export interface VsockAddress {
  readonly net: 'vsock'
  readonly cid: number
  readonly port: number
}

/** The virtio-serial ports of a machine (serial-line.ts). */
export interface SerialAddress {
  readonly net: 'serial'
  /** On the host the directory of their sockets, in the machine what their names begin with. */
  readonly path: string
}

export type Address = TcpAddress | UnixAddress | UnixVsockAddress | VsockAddress | SerialAddress

/** What `-net`, `-sp` and the host operand say, before defaults. */
export interface AddressParts {
  readonly net?: Network | 'serial' | undefined
  readonly host: string
  readonly port?: number | undefined
}

const MAX_U32 = 0xffff_ffff
const MAX_TCP_PORT = 0xffff

/**
 * Parses an unsigned 32-bit number as Go's base 0 does: decimal, `0x`, `0o` or leading `0`, `0b`.
 * Returns undefined for anything else.
 */
export function parseU32(text: string): number | undefined {
  const match = /^(?:0x([0-9a-f]+)|0b([01]+)|0o?([0-7]+)|([1-9][0-9]*|0))$/i.exec(text)
  if (match === null) return undefined
  const [, hex, binary, octal, decimal] = match
  const value =
    hex !== undefined
      ? Number.parseInt(hex, 16)
      : binary !== undefined
        ? Number.parseInt(binary, 2)
        : octal !== undefined
          ? Number.parseInt(octal, 8)
          : Number(decimal)
  return value <= MAX_U32 ? value : undefined
}

/** Splits `vsock/3:PORT`, `unix/PATH`, `vsock-mux/PATH`, `virtio-serial/PATH` off a host; a plain host comes back as it is. */
export function splitHost(host: string): AddressParts {
  const vsock = /^vsock\/([^:]*)(?::(.*))?$/.exec(host)
  if (vsock !== null) {
    return {
      net: 'vsock',
      host: vsock[1] ?? '',
      port: vsock[2] === undefined ? undefined : parsePort(vsock[2], MAX_U32),
    }
  }
  for (const net of ['unix', 'unix-vsock', 'serial'] as const) {
    const word = `${SOCKET_WORDS[net]}`
    if (host.startsWith(`${word}/`)) return { net, host: host.slice(word.length) }
  }
  return { host }
}

/** What stands before a path, by the transport that it names. */
export const SOCKET_WORDS: Readonly<Record<string, string>> = {
  unix: 'unix',
  'unix-vsock': 'vsock-mux',
  serial: 'virtio-serial',
} satisfies Partial<Record<NonNullable<AddressParts['net']>, string>>

function parsePort(text: string, limit: number): number {
  const port = parseU32(text)
  if (port === undefined || port < 1 || port > limit) throw portError(text, limit)
  return port
}

/** For a port that is none on any transport. */
export function checkPort(port: number | undefined): void {
  if (port !== undefined && port < 1) throw portError(port, `${MAX_TCP_PORT}, or ${MAX_U32} on vsock`)
}

function portError(port: number | string, limit: number | string): UsageError {
  return new UsageError(`port ${port} is out of range`, `give a number from 1 to ${limit}`)
}

/** `sun_path` of unix(7); longer names would be cut off without a word. */
const MAX_PATH_BYTES = 107

function checkPath(path: string): string {
  const length = Buffer.byteLength(path)
  if (length <= MAX_PATH_BYTES) return path
  throw new UsageError(
    `the socket name ${path} is ${length} bytes long`,
    `give one of at most ${MAX_PATH_BYTES} bytes`,
  )
}

/** The address that parts name; the port defaults to 17010. Throws UsageError. */
export function toAddress(parts: AddressParts): Address {
  const { net = 'tcp', host, port = DEFAULT_PORT } = parts
  const limit = net === 'vsock' || net === 'unix-vsock' ? MAX_U32 : MAX_TCP_PORT
  if (net !== 'unix' && net !== 'serial' && (!Number.isInteger(port) || port < 1 || port > limit))
    throw portError(port, limit)
  switch (net) {
    case 'vsock': {
      const cid = parseU32(host)
      if (cid === undefined) {
        throw new UsageError(
          `"${host}" is no vsock context ID`,
          'give a number, such as: cpu -net vsock 3 date',
        )
      }
      return { net, cid, port }
    }
    case 'unix':
      return { net, path: checkPath(host) }
    case 'serial':
      return { net, path: host }
    case 'unix-vsock':
      return { net, path: checkPath(host), port }
    default:
      return { net: 'tcp', host, port, family: net === 'tcp4' ? 4 : net === 'tcp6' ? 6 : 0 }
  }
}

/** As messages show it: `vsock/3:17010`, `unix/run/cpu.sock`, `192.0.2.1:17010`, `[::1]:17010`. */
export function formatAddress(address: Address): string {
  switch (address.net) {
    case 'vsock':
      return `vsock/${address.cid}:${address.port}`
    case 'unix':
      return `unix${address.path.startsWith('/') ? '' : '/'}${address.path}`
    case 'unix-vsock':
      return `unix${address.path.startsWith('/') ? '' : '/'}${address.path} vsock port ${address.port}`
    case 'serial':
      return `virtio-serial${address.path.startsWith('/') ? '' : '/'}${address.path}`
    case 'tcp':
      return address.host.includes(':')
        ? `[${address.host}]:${address.port}`
        : `${address.host}:${address.port}`
  }
}

/**
 * The name under which known_hosts keeps the host's key: `vsock/3`, `unix/PATH`, `host` or `[host]:port`.
 * As in OpenSSH, only port 22 goes without brackets; for vsock, only the default port goes without number.
 */
export function knownHostsName(address: Address): string {
  switch (address.net) {
    case 'vsock':
      return address.port === DEFAULT_PORT ? `vsock/${address.cid}` : `[vsock/${address.cid}]:${address.port}`
    case 'unix':
      return `unix${address.path}`
    case 'unix-vsock':
      return `[unix${address.path}]:${address.port}`
    case 'serial':
      return `virtio-serial${address.path}`
    case 'tcp':
      return address.port === 22 ? address.host : `[${address.host}]:${address.port}`
  }
}

/** Whether it is a name or an address of this machine's own. */
export function isLoopback(host: string): boolean {
  const version = isIP(host)
  return version === 0 ? host === 'localhost' : loopback().check(host, version === 6 ? 'ipv6' : 'ipv4')
}

/** Made when it is needed: Node can keep none in a start-up snapshot. */
function loopback(): BlockList {
  const addresses = new BlockList()
  addresses.addSubnet('127.0.0.0', 8, 'ipv4')
  addresses.addAddress('::1', 'ipv6')
  return addresses
}
