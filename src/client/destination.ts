// Where a connection goes, as whom, with which keys, and through what: flags and ssh_config together.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describeError } from '../cli/main.js'
import { CpuError, UsageError } from '../errors.js'
import { localUser } from '../local-user.js'
import { DEFAULT_KEYS } from '../ssh/default-keys.js'
import { type Identity, readIdentity } from '../ssh/identity.js'
import { type HostKeyPolicy, parsePublicKey } from '../ssh/known-hosts.js'
import type { Login } from '../ssh/login-methods.js'
import {
  type Address,
  type AddressParts,
  checkPort,
  DEFAULT_PORT,
  knownHostsName,
  type Network,
  parseU32,
  SOCKET_WORDS,
  splitHost,
  toAddress,
} from '../transport/address.js'
import { askOnTerminal, confirmOnTerminal, hasTerminal } from './prompt.js'
import { type HostConfig, hostConfig } from './ssh-config.js'
import { expandHome } from './ssh-tokens.js'

export interface Destination {
  readonly address: Address
  /** What leads there, where it is not reached straight. */
  readonly proxy?: { readonly command: string } | { readonly jump: Destination } | undefined
  readonly login: Login
  readonly hostKey: HostKeyPolicy
  readonly connectTimeoutMs: number
  /** 0 for none. */
  readonly keepaliveIntervalMs: number
  readonly keepaliveCountMax: number
}

/** What the command line says, which wins over ssh_config; undefined for nothing. */
export interface GivenDestination {
  /** The host as the user named it, without user and port. */
  readonly name: string
  readonly user?: string | undefined
  readonly port?: number | undefined
  readonly defaultPort?: number
  readonly net?: Network | undefined
  readonly keyFile?: string | undefined
  /** False: no key at all is offered. */
  readonly useKey?: boolean
  readonly hostKeyFile?: string | undefined
  readonly timeoutMs?: number | undefined
  /** Hosts to go through, instead of those that ssh_config has. */
  readonly proxyJump?: readonly string[] | undefined
}

const TIMEOUT_MS = 20_000
const KEEPALIVE_INTERVAL_MS = 15_000
const KEEPALIVE_COUNT_MAX = 3
/** Of a host on the way, which is a stock sshd. */
const JUMP_PORT = 22
const MAX_JUMPS = 16

/** Throws UsageError, and CpuError for files that cannot be used. */
export function resolveDestination(
  given: GivenDestination,
  warn: (line: string) => void,
  depth = 0,
): { destination: Destination; config: HostConfig } {
  if (depth > MAX_JUMPS)
    throw new UsageError(
      `the way to ${given.name} goes through more than ${MAX_JUMPS} hosts`,
      'see ProxyJump',
    )
  const { net, name, defaultPort = DEFAULT_PORT } = given
  const named = net === undefined ? splitHost(name) : { net, host: name }
  const port = given.port ?? named.port
  checkPort(port)
  const query = {
    alias: configName(named),
    user: given.user,
    port: port === undefined ? undefined : String(port),
    defaultPort: String(defaultPort),
  }
  const config = hostConfig(query, warn)
  const address = locate({ ...named, port }, config, defaultPort)
  const isInteractive = !config.batchMode && hasTerminal()
  const destination = {
    address,
    proxy: proxyOf(given, config, address, warn, depth),
    login: {
      username: config.user ?? localUser().name,
      ...keys(given, config, warn),
      askPassphrase: isInteractive ? askOnTerminal : undefined,
    },
    hostKey: hostKeyPolicy(given, address, config, isInteractive, warn),
    connectTimeoutMs: given.timeoutMs ?? (config.connectTimeoutMs || TIMEOUT_MS),
    keepaliveIntervalMs: config.serverAliveIntervalMs ?? KEEPALIVE_INTERVAL_MS,
    keepaliveCountMax: config.serverAliveCountMax ?? KEEPALIVE_COUNT_MAX,
  }
  return { destination, config }
}

function locate(named: AddressParts, config: HostConfig, defaultPort: number): Address {
  const configured = config.port === undefined ? undefined : parseU32(config.port)
  const port = named.port ?? configured ?? defaultPort
  const { hostName } = config
  if (hostName === undefined) return toAddress({ ...named, port })
  // HostName may say by which transport, where nobody else does; of vsock and unix the name itself is the address.
  if (named.net === undefined) {
    const target = splitHost(hostName)
    return toAddress({ ...target, port: named.port ?? target.port ?? port })
  }
  return toAddress({ ...named, host: named.net.startsWith('tcp') ? hostName : named.host, port })
}

/** `-net vsock 3` is looked up as `vsock/3`, so that both spellings have one configuration; so with unix and its kind. */
function configName({ net, host }: AddressParts): string {
  if (net === 'vsock') return `vsock/${parseU32(host) ?? host}`
  const word = net === undefined ? undefined : SOCKET_WORDS[net]
  return word === undefined ? host : `${word}${host.startsWith('/') ? '' : '/'}${host}`
}

function proxyOf(
  given: GivenDestination,
  config: HostConfig,
  address: Address,
  warn: (line: string) => void,
  depth: number,
): Destination['proxy'] {
  const { proxyCommand: command } = config
  if (given.proxyJump === undefined && command !== undefined) {
    if (!config.proxyUseFdpass) return { command }
    // systemd has such a command for vsock/* and unix/*, for the sake of ssh; we need no help there.
    if (address.net !== 'tcp') return undefined
    throw new UsageError(
      `the ProxyCommand of ${given.name} passes on a descriptor, which cpu cannot take`,
      'set ProxyUseFdpass no, and a command that passes on bytes',
    )
  }
  const hops = given.proxyJump ?? config.proxyJump
  const last = hops.at(-1)
  if (last === undefined) return undefined
  const before = hops.length > 1 ? hops.slice(0, -1) : undefined
  const jump = { ...parseJump(last), defaultPort: JUMP_PORT, timeoutMs: given.timeoutMs, proxyJump: before }
  return { jump: resolveDestination(jump, warn, depth + 1).destination }
}

/** `[user@]host[:port]`, also as ssh://. Throws UsageError. */
function parseJump(text: string): { user?: string | undefined; name: string; port?: number | undefined } {
  const match = /^(?:ssh:\/\/)?(?:(.+)@)?(\[[^\]]+\]|[^:]+)(?::(\d+))?$/.exec(text.trim())
  if (match === null) throw new UsageError(`"${text}" is no host to go through`, 'write [user@]host[:port]')
  const [, user, name = '', port] = match
  return { user, name: name.replace(/^\[|\]$/g, ''), port: port === undefined ? undefined : Number(port) }
}

function keys(
  { keyFile, useKey }: GivenDestination,
  config: HostConfig,
  warn: (line: string) => void,
): Pick<Login, 'identities' | 'agentSocket' | 'identitiesOnly'> {
  if (useKey === false) return { identities: [] }
  const agent = config.identityAgent ?? process.env['SSH_AUTH_SOCK']
  const agentSocket = agent === 'none' ? undefined : agent || undefined
  if (keyFile !== undefined)
    return { identities: [readIdentity(expandHome(keyFile))], agentSocket, identitiesOnly: true }
  const named = config.identityFiles
  const files = named.length > 0 ? named : DEFAULT_KEYS.map(name => path.join(os.homedir(), '.ssh', name))
  const identities = files.flatMap(file => usableIdentity(file, named.length > 0 ? warn : () => {}))
  return { identities, agentSocket, identitiesOnly: config.identitiesOnly }
}

/** A key of ssh_config that is missing is passed over, as ssh does: others, or the agent, may do. */
function usableIdentity(file: string, warn: (line: string) => void): Identity[] {
  const existing = [file, `${file}.pub`].find(name => fs.existsSync(name))
  try {
    return [readIdentity(existing ?? file)]
  } catch (error) {
    if (!(error instanceof CpuError)) throw error
    warn(describeError(error))
    return []
  }
}

function hostKeyPolicy(
  { hostKeyFile }: GivenDestination,
  address: Address,
  config: HostConfig,
  isInteractive: boolean,
  warn: (line: string) => void,
): HostKeyPolicy {
  const own = path.join(os.homedir(), '.ssh')
  const userFiles =
    config.knownHostsFiles ?? ['known_hosts', 'known_hosts2'].map(name => path.join(own, name))
  const globalFiles = config.globalKnownHostsFiles ?? [
    '/etc/ssh/ssh_known_hosts',
    '/etc/ssh/ssh_known_hosts2',
  ]
  return {
    name: config.hostKeyAlias ?? knownHostsName(address),
    plainName: config.hostKeyAlias === undefined && address.net === 'tcp' ? address.host : undefined,
    files: [...userFiles, ...globalFiles],
    newKeysFile: userFiles[0],
    hashNames: config.hashKnownHosts,
    strict: config.strictHostKeyChecking ?? 'ask',
    confirm: isInteractive ? confirmOnTerminal : undefined,
    warn,
    expected:
      hostKeyFile === undefined ? undefined : parsePublicKey(readText(hostKeyFile, '-hk'), hostKeyFile),
  }
}

/** The text of a file that a flag names. Throws UsageError. */
export function readText(file: string, flag: string): string {
  try {
    return fs.readFileSync(expandHome(file), 'utf8')
  } catch (error) {
    throw new UsageError(`cannot read ${file} (${flag}): ${(error as Error).message}`)
  }
}
