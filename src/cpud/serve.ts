// The daemon at work: listeners and daemon together, as an ordinary process or as PID 1.
import fs from 'node:fs'
import { describeError } from '../cli/main.js'
import { CpuError } from '../errors.js'
import { VMADDR_CID_ANY } from '../linux/vsock.js'
import { readText } from '../native/read-text.js'
import { mayMountHere, type UserNamespace, userNamespaceHere } from '../native/user-namespace.js'
import type { User } from '../native/users.js'
import { parseAuthorizedKeys } from '../ssh/authorized-keys.js'
import { keyType } from '../ssh/fingerprint.js'
import { parseIdentity } from '../ssh/identity.js'
import { type Address, formatAddress } from '../transport/address.js'
import { type Listener, listen } from '../transport/listen.js'
import type { ArrivalLimits } from './arrivals.js'
import { Daemon } from './daemon.js'
import { GUEST_CONFIG_PATH, type GuestListen, parseGuestConfig } from './guest-config.js'
import { type Boot, runInit } from './init.js'
import { type Log, logLevel } from './init-log.js'
import { commandLineConfig } from './kernel-command-line.js'
import type { KeySource } from './login.js'
import { type Registration, register } from './register.js'
import { hostnameFile, INIT_PLACES, parseInitFlags, serveSettings } from './settings.js'

export interface ServeOptions {
  readonly addresses: readonly Address[]
  /** OpenSSH private key. */
  readonly hostKey: string
  /** Who may log in; undefined lets anybody in. */
  readonly keys: KeySource | undefined
  readonly limits?: ArrivalLimits
  /** Who runs the programs, if not cpud's own user. */
  readonly user?: User | undefined
  /** Whom to tell when it listens. */
  readonly registration?: Registration | undefined
  readonly log: (line: string) => void
  /** Of an address that cannot be had, where there are others; by default as the rest. */
  readonly warn?: (line: string) => void
  readonly debug?: ((line: string) => void) | undefined
}

const DEFAULT_LIMITS: ArrivalLimits = { maxStartups: 64, loginGraceMs: 60_000 }

/** A daemon with its listeners. Disposing ends sessions and listeners. */
export interface Service extends AsyncDisposable {
  readonly addresses: readonly Address[]
}

/** Starts listening everywhere; an address that cannot be had is logged, and fatal only if none can. */
export async function startService(options: ServeOptions): Promise<Service> {
  const userNamespace = mayMountHere() ? undefined : userNamespaceHere()
  const { keys, limits = DEFAULT_LIMITS, user, log, warn = log, debug } = options
  const hostKeys = [options.hostKey]
  const daemon = new Daemon({ ...limits, keys, hostKeys, userNamespace, user, log, debug })
  const attempts = await Promise.allSettled(
    options.addresses.map(address => listen(address, (stream, peer) => daemon.accept(stream, peer))),
  )
  const listeners: Listener[] = []
  for (const attempt of attempts) {
    if (attempt.status === 'fulfilled') listeners.push(attempt.value)
    else if (attempts.length > 1) warn((attempt.reason as Error).message)
  }
  const failure = attempts.find(attempt => attempt.status === 'rejected')
  if (listeners.length === 0)
    throw failure?.reason ?? new CpuError('ERR_CPU_LISTEN', 'there is no address to listen on')
  for (const { address } of listeners) log(`listening on ${formatAddress(address)}`)
  if (userNamespace !== undefined) log(describeNamespace(userNamespace))
  return {
    addresses: listeners.map(listener => listener.address),
    async [Symbol.asyncDispose]() {
      const closed = listeners.map(listener => listener.close())
      await daemon[Symbol.asyncDispose]()
      await Promise.all(closed)
    },
  }
}

function describeNamespace({ subordinate }: UserNamespace): string {
  const who = subordinate
    ? 'in which ids are what they are here'
    : 'in which this user is root, and nobody else is there (/etc/subuid gives no ids, or newuidmap is missing)'
  return `without root: files by FUSE only, each session in a user namespace, ${who}`
}

/** Serves until TERM or INT; then sessions are hung up. Resolves to the exit code. */
export async function serveUntilSignal(options: ServeOptions): Promise<number> {
  await using _service = await startService(options)
  if (options.registration !== undefined) void register(options.registration, options.log)
  const signal = await new Promise<string>(resolve => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
  options.log(`${signal}: ending`)
  return 0
}

/** As process 1: never returns. A launcher's file says all; without one the arguments and the kernel's command line do. */
export function serveAsInit(argv: readonly string[]): Promise<never> {
  return runInit(log => (fs.existsSync(GUEST_CONFIG_PATH) ? guestBoot(log) : ownBoot(argv, log)))
}

/** As the launcher has it. */
function guestBoot(log: Log): Boot {
  const { network, ...config } = parseGuestConfig(fs.readFileSync(GUEST_CONFIG_PATH, 'utf8'))
  return {
    config: { ...config, ...(network === undefined ? {} : { network: { ipv4: network } }) },
    startDaemon: async askIdentity => {
      const { authorizedKeys, hostKey } = await askIdentity()
      const { keys, problems } = parseAuthorizedKeys(authorizedKeys, 'authorized_keys')
      for (const problem of problems) log(problem)
      return startService({
        addresses: config.listen.map(listenAddress),
        hostKey,
        keys: () => keys,
        log,
        warn: line => log(line, logLevel.warning),
      })
    },
  }
}

function listenAddress(listen: GuestListen): Address {
  switch (listen.net) {
    case 'vsock':
      return { net: 'vsock', cid: VMADDR_CID_ANY, port: listen.port }
    case 'tcp':
      return { net: 'tcp', host: '0.0.0.0', port: listen.port, family: 0 }
    case 'serial':
      return { net: 'serial', path: listen.name }
  }
}

function ownBoot(argv: readonly string[], log: Log): Boot {
  const { config, problems } = commandLineConfig(readText('/proc/cmdline'))
  for (const problem of problems) log(describeError(problem), logLevel.warning)
  const hostname = config.hostname ?? hostnameFile()
  const values = parseInitFlags(argv, log)
  const options = serveSettings(values, INIT_PLACES, log)
  return {
    config: { ...config, ...(hostname === undefined ? {} : { hostname }) },
    startDaemon: async () => {
      const service = await startService({ ...options, debug: values.d ? log : undefined })
      // Whoever connects for the first time can compare it with the console.
      const key = parseIdentity('host key', options.hostKey).publicKey?.getPublicSSH()
      if (key !== undefined) log(`host key ${keyType(key)} ${key.toString('base64')}`)
      if (options.registration !== undefined) void register(options.registration, log)
      return service
    },
  }
}
