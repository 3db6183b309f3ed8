// What the launcher tells a guest, as JSON in its initramfs. Written by the launcher, read by PID 1; the
// parser checks every field, since a guest that misreads its orders is hard to look into. Nothing in it is one machine's
// own: who it is, a guest is told on its control line.

import { CpuError } from '../errors.js'
import type { Ipv4Settings } from './boot-config.js'

/** Where the launcher puts it. */
export const GUEST_CONFIG_PATH = '/etc/cpu-harness.json'

export type GuestListen =
  | { readonly net: 'tcp' | 'vsock'; readonly port: number }
  /** virtio-serial ports, and what their names begin with. */
  | { readonly net: 'serial'; readonly name: string }

/** By what, and under which name, the guest finds its root file system. */
export interface GuestRoot {
  readonly type: 'virtiofs' | '9p'
  readonly tag: string
}

export interface GuestConfig {
  readonly listen: readonly GuestListen[]
  /** Absolute paths in the guest, dependencies first. */
  readonly modules: readonly string[]
  /** Of the first Ethernet interface. */
  readonly network?: Ipv4Settings
  /** A serial line for events and requests, such as `/dev/ttyS1`. */
  readonly control: string
  /** Instead of the initramfs; never written to. */
  readonly root?: GuestRoot
}

type Fields = Readonly<Record<string, unknown>>

function fail(field: string, expected: string): never {
  throw new CpuError('ERR_CPU_GUEST_CONFIG', `guest configuration: ${field} must be ${expected}`)
}

function fieldsOf(value: unknown, field: string, known: readonly string[]): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) fail(field, 'an object')
  const prefix = field === 'it' ? '' : `${field}.`
  for (const name of Object.keys(value))
    if (!known.includes(name)) fail(`${prefix}${name}`, 'absent (unknown field)')
  return value as Fields
}

function listOf<T>(value: unknown, field: string, parse: (item: unknown, field: string) => T): T[] {
  if (!Array.isArray(value)) fail(field, 'a list')
  return value.map((item, i) => parse(item, `${field}[${i}]`))
}

function text(value: unknown, field: string): string {
  return typeof value === 'string' ? value : fail(field, 'a string')
}

function absolutePath(value: unknown, field: string): string {
  const path = text(value, field)
  return path.startsWith('/') ? path : fail(field, 'an absolute path')
}

function integer(value: unknown, field: string, least: number, most: number): number {
  if (Number.isInteger(value) && Number(value) >= least && Number(value) <= most) return Number(value)
  return fail(field, `an integer from ${least} to ${most}`)
}

function parseListen(value: unknown, field: string): GuestListen {
  const { net, port, name } = fieldsOf(value, field, ['net', 'port', 'name'])
  const unused = net === 'serial' ? 'port' : 'name'
  if ({ port, name }[unused] !== undefined) fail(`${field}.${unused}`, `absent for ${net}`)
  if (net === 'serial') return { net, name: text(name, `${field}.name`) }
  if (net !== 'tcp' && net !== 'vsock') fail(`${field}.net`, '"tcp", "vsock" or "serial"')
  return { net, port: integer(port, `${field}.port`, 1, net === 'tcp' ? 0xffff : 0xfffffffe) }
}

function parseNetwork(value: unknown, field: string): Ipv4Settings {
  const { address, prefix, gateway, nameservers } = fieldsOf(value, field, [
    'address',
    'prefix',
    'gateway',
    'nameservers',
  ])
  return {
    address: text(address, `${field}.address`),
    prefix: integer(prefix, `${field}.prefix`, 0, 32),
    ...(gateway === undefined ? {} : { gateway: text(gateway, `${field}.gateway`) }),
    ...(nameservers === undefined ? {} : { nameservers: listOf(nameservers, `${field}.nameservers`, text) }),
  }
}

function parseRoot(value: unknown, field: string): GuestRoot {
  const { type, tag } = fieldsOf(value, field, ['type', 'tag'])
  if (type !== 'virtiofs' && type !== '9p') fail(`${field}.type`, '"virtiofs" or "9p"')
  return { type, tag: text(tag, `${field}.tag`) }
}

/** Parses the JSON text of a guest configuration. Throws ERR_CPU_GUEST_CONFIG, which names the field. */
export function parseGuestConfig(json: string): GuestConfig {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (cause) {
    throw new CpuError('ERR_CPU_GUEST_CONFIG', `guest configuration: not JSON, ${String(cause)}`, { cause })
  }
  const known = ['listen', 'modules', 'network', 'control', 'root']
  const fields = fieldsOf(value, 'it', known)
  return {
    listen: listOf(fields['listen'], 'listen', parseListen),
    modules: listOf(fields['modules'], 'modules', absolutePath),
    ...(fields['network'] === undefined ? {} : { network: parseNetwork(fields['network'], 'network') }),
    control: absolutePath(fields['control'], 'control'),
    ...(fields['root'] === undefined ? {} : { root: parseRoot(fields['root'], 'root') }),
  }
}
