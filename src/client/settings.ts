// Flags, environment and ssh_config -> everything the client needs to know.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline/promises'
import type { CPU_FLAGS } from '../cli/cpu-flags.js'
import type { ParsedFlags } from '../cli/flags.js'
import { CpuError, UsageError } from '../errors.js'
import { namespaceFstab } from '../namespace/namespace-fstab.js'
import { parseNamespace } from '../namespace/parse-namespace.js'
import { FSTAB_VARIABLE } from '../ssh/exec-request.js'
import { type Identity, readIdentity } from '../ssh/identity.js'
import { type HostKeyPolicy, parsePublicKey } from '../ssh/known-hosts.js'
import {
  type Address,
  knownHostsName,
  type Network,
  parseU32,
  splitHost,
  toAddress,
} from '../transport/address.js'
import { resolveInExport } from './export-path.js'
import { fileSettings } from './file-settings.js'
import { rawArguments, rawEnvironment } from './raw-arguments.js'
import type { ClientOptions } from './run.js'
import { parseServeAddress, type ServeFilesOptions } from './serve.js'
import { expandHome, type HostConfig, hostConfig } from './ssh-config.js'

type Flags = ParsedFlags<typeof CPU_FLAGS>

const KEEPALIVE_INTERVAL_MS = 15_000

/** Works out the options of one `cpu` command. Throws UsageError, and CpuError for files that cannot be used. */
export function clientOptions({ values, operands }: Flags): ClientOptions {
  const [destination, ...command] = operands
  if (destination === undefined)
    throw new UsageError('no host is given', 'for example: cpu -net vsock 3 date')
  const { user, host } = splitUser(destination)
  const { address, config } = locate(host, values.net, values.sp)
  const { protocols, cachePolicy, mountOptions } = fileSettings(values)
  const hasFiles = protocols.length > 0
  const environment = rawEnvironment()
  // The parent's PWD may be stale, and a logical one may lead through links that are not served.
  environment.set('PWD', Buffer.from(process.cwd()))
  return {
    address,
    username: values.user ?? user ?? config.user ?? os.userInfo().username,
    ...credentials(values.key, config),
    hostKey: hostKeyPolicy(address, config, values.hk),
    connectTimeoutMs: values.timeout,
    keepaliveIntervalMs: KEEPALIVE_INTERVAL_MS,
    files: hasFiles
      ? {
          root: path.resolve(values.root),
          readOnly: values.ro,
          protocols,
          cachePolicy,
          direct: values.direct,
          timeoutMs: values.timeout9p,
          trace: traceFiles(values),
        }
      : undefined,
    mountOptions,
    fstab: fstabText(values, hasFiles, environment),
    environment,
    args: rawArguments(command),
    terminal: wantsTerminal(values.tty, command),
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    log: logger(values),
    debug: values.d ? line => say(`ssh: ${line}`) : undefined,
  }
}

/** Works out the options of `cpu -srv`. Throws UsageError. */
export function serveOptions({ values, operands }: Flags): Omit<ServeFilesOptions, 'signal'> {
  if (operands.length > 0)
    throw new UsageError(`-srv serves files alone, and ${operands[0]} is a host`, 'leave one of them out')
  return {
    address: parseServeAddress(values.srv ?? ''),
    root: path.resolve(values.root),
    readOnly: values.ro,
    open: values['srv-open'],
    log: logger(values),
    trace: traceFiles(values),
  }
}

function traceFiles(values: Flags['values']): ((line: string) => void) | undefined {
  return values.dbg9p ? say : undefined
}

function logger(values: Flags['values']): (line: string) => void {
  return values.v || values.d ? say : () => {}
}

function say(line: string): void {
  console.error(`cpu: ${line}`)
}

function splitUser(destination: string): { user: string | undefined; host: string } {
  const at = destination.includes('/') ? -1 : destination.lastIndexOf('@')
  return at <= 0
    ? { user: undefined, host: destination }
    : { user: destination.slice(0, at), host: destination.slice(at + 1) }
}

/** The address of a host as the user named it, by way of ssh_config's HostName and Port. */
function locate(
  name: string,
  net: Network | undefined,
  port: number | undefined,
): { address: Address; config: HostConfig } {
  const config = hostConfig(configName(name, net), say)
  const named = net === undefined ? splitHost(name) : { net, host: name }
  const target = named.net === undefined && config.hostName !== undefined ? splitHost(config.hostName) : named
  const configuredPort = config.port === undefined ? undefined : parseU32(config.port)
  const address = toAddress({
    net: target.net,
    host: target.host,
    port: port ?? target.port ?? configuredPort,
  })
  return { address, config }
}

/** `-net vsock 3` is looked up as `vsock/3`, so that both spellings have one configuration. */
function configName(name: string, net: Network | undefined): string {
  const parts = net === undefined ? splitHost(name) : { net, host: name }
  if (parts.net !== 'vsock') return name
  const cid = parseU32(parts.host)
  return `vsock/${cid ?? parts.host}`
}

const DEFAULT_KEYS = ['cpu_rsa', 'id_ed25519', 'id_ecdsa', 'id_rsa']

function credentials(
  key: string | undefined,
  config: HostConfig,
): { identities: Identity[]; agentSocket: string | undefined } {
  if (key !== undefined) return { identities: [readIdentity(expandHome(key))], agentSocket: undefined }
  const agentSocket = config.identitiesOnly ? undefined : process.env['SSH_AUTH_SOCK'] || undefined
  if (config.identityFiles.length > 0)
    return { identities: config.identityFiles.map(file => readIdentity(file)), agentSocket }
  return { identities: DEFAULT_KEYS.flatMap(defaultIdentity), agentSocket }
}

/** A default key that is missing or encrypted is passed over: others, or the agent, may do. */
function defaultIdentity(name: string): Identity[] {
  const file = path.join(os.homedir(), '.ssh', name)
  if (!fs.existsSync(file)) return []
  try {
    return [readIdentity(file)]
  } catch (error) {
    if (error instanceof CpuError) return []
    throw error
  }
}

function hostKeyPolicy(address: Address, config: HostConfig, hostKeyFile: string | undefined): HostKeyPolicy {
  const { strictHostKeyChecking = 'ask' } = config
  const strict =
    (['yes', 'no', 'accept-new'] as const).find(value => value === strictHostKeyChecking) ?? 'ask'
  return {
    name: knownHostsName(address),
    files: config.knownHostsFiles ?? [
      path.join(os.homedir(), '.ssh/known_hosts'),
      '/etc/ssh/ssh_known_hosts',
    ],
    strict,
    confirm: process.stdin.isTTY && process.stderr.isTTY ? confirm : undefined,
    warn: say,
    expected:
      hostKeyFile === undefined ? undefined : parsePublicKey(readText(hostKeyFile, '-hk'), hostKeyFile),
  }
}

async function confirm(question: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return (await terminal.question(`${question} (yes/no) `)).trim().toLowerCase() === 'yes'
  } finally {
    terminal.close()
  }
}

function fstabText(
  values: Flags['values'],
  hasFiles: boolean,
  environment: ReadonlyMap<string, Buffer>,
): string {
  const userFstab =
    values.fstab === undefined
      ? (environment.get(FSTAB_VARIABLE)?.toString() ?? '')
      : readText(values.fstab, '-fstab')
  if (!hasFiles && values.namespace === undefined) return userFstab
  const bindings = parseNamespace(values.namespace)
  if (!hasFiles && bindings.length > 0) {
    throw new UsageError(
      `-namespace ${values.namespace} needs files to bind, and none are served`,
      'leave one of them out',
    )
  }
  return namespaceFstab({
    bindings,
    workingDirectory: hasFiles && bindings.length > 0 ? process.cwd() : undefined,
    userFstab,
    locate: local => resolveInExport(values.root, local),
  })
}

function readText(file: string, flag: string): string {
  try {
    return fs.readFileSync(expandHome(file), 'utf8')
  } catch (error) {
    throw new UsageError(`cannot read ${file} (${flag}): ${(error as Error).message}`)
  }
}

function wantsTerminal(tty: 'auto' | 'force' | 'no' | string, command: readonly string[]): boolean {
  if (tty !== 'auto') return tty === 'force'
  return process.stdin.isTTY === true && (process.stdout.isTTY === true || command.length === 0)
}
