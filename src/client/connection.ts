// From a destination to a connection that is logged in: straight, through a ProxyCommand, or through other hosts.
import type { Duplex } from 'node:stream'
import type ssh2 from 'ssh2'
import { CpuError } from '../errors.js'
import { connectSsh } from '../ssh/connect.js'
import { knownKeyTypes, verifyKnownHost } from '../ssh/known-hosts.js'
import { formatAddress } from '../transport/address.js'
import { ConnectError, dial } from '../transport/dial.js'
import { startProxyCommand } from '../transport/proxy-command.js'
import type { Destination } from './destination.js'

export interface ConnectOptions {
  readonly signal?: AbortSignal | undefined
  /** Lines for `-v`. */
  readonly log: (line: string) => void
  readonly debug?: ((line: string) => void) | undefined
}

/** Closed by its owner, with all that it goes through. */
export interface Connection {
  readonly client: ssh2.Client
  /** Aborted when what it goes through breaks in a way that can be told, by that error. */
  readonly broken: AbortSignal
  close(): void
}

interface Route {
  readonly stream: Duplex
  /** As in Connection, of what leads there. */
  readonly broken?: AbortSignal
  close(): void
}

/** Throws CpuError ERR_CPU_CONNECT, ERR_CPU_PROXY, and those of connectSsh(). */
export async function connectTo(destination: Destination, options: ConnectOptions): Promise<Connection> {
  const peer = formatAddress(destination.address)
  const { log, signal, debug } = options
  const route = await openRoute(destination, options)
  try {
    const client = await connectSsh(route.stream, {
      ...destination.login,
      peer,
      hostKeyTypes: knownKeyTypes(destination.hostKey),
      verifyHostKey: key => verifyKnownHost(key, destination.hostKey),
      timeoutMs: destination.connectTimeoutMs,
      keepaliveIntervalMs: destination.keepaliveIntervalMs,
      keepaliveCountMax: destination.keepaliveCountMax,
      signal: eitherOf(signal, route.broken),
      debug,
      log,
    })
    log(`authenticated as ${destination.login.username}`)
    return attend(client, route, log)
  } catch (error) {
    route.close()
    throw error
  }
}

const DISCONNECT_TIMEOUT_MS = 1000

function attend(client: ssh2.Client, route: Route, log: (line: string) => void): Connection {
  const broken = new AbortController()
  // Without a listener, an error of the dying connection would end this process; what is lost is told by 'close'.
  client.on('error', error => {
    log(`connection: ${error.message}`)
    if (error instanceof CpuError) broken.abort(error)
    // ssh2 only ends it, which a server that has fallen silent never answers.
    route.close()
  })
  return {
    client,
    broken: eitherOf(broken.signal, route.broken),
    close() {
      client.once('close', () => route.close())
      client.end()
      setTimeout(() => route.close(), DISCONNECT_TIMEOUT_MS).unref()
    },
  }
}

function eitherOf(...signals: (AbortSignal | undefined)[]): AbortSignal {
  return AbortSignal.any(signals.filter(signal => signal !== undefined))
}

async function openRoute(destination: Destination, options: ConnectOptions): Promise<Route> {
  const { address, proxy, connectTimeoutMs: timeoutMs } = destination
  if (proxy !== undefined && 'command' in proxy) {
    options.log(`going through ${proxy.command}`)
    return routeOver(startProxyCommand(proxy.command))
  }
  const route =
    proxy === undefined
      ? routeOver(await dial(address, { timeoutMs, signal: options.signal }))
      : await jumpTo(destination, proxy.jump, options)
  options.log(`connected to ${formatAddress(address)}`)
  return route
}

async function jumpTo(destination: Destination, over: Destination, options: ConnectOptions): Promise<Route> {
  const jump = await connectTo(over, options)
  try {
    const stream = await forward(jump.client, destination)
    jump.client.once('close', () => stream.destroy())
    return {
      ...routeOver(stream),
      broken: jump.broken,
      close() {
        stream.destroy()
        jump.close()
      },
    }
  } catch (error) {
    jump.close()
    throw error
  }
}

function routeOver(stream: Duplex): Route {
  // Whoever reads it is told, and may be gone when it fails once more.
  stream.on('error', () => {})
  return { stream, close: () => void stream.destroy() }
}

/** A stream from the far end of `client` to an address there. */
function forward(client: ssh2.Client, { address, connectTimeoutMs }: Destination): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const refuse = (reason: string, options?: { cause?: unknown; remedy?: string }) => {
      clearTimeout(timer)
      reject(new ConnectError(address, reason, options))
    }
    const timer = setTimeout(
      () => refuse('no answer in time', { remedy: 'is the machine up?' }),
      connectTimeoutMs,
    )
    const settle = (cause: Error | undefined, channel: ssh2.ClientChannel) => {
      if (cause !== undefined) return refuse(cause.message, { cause })
      clearTimeout(timer)
      resolve(channel)
    }
    client.once('close', () => refuse('the host on the way hung up'))
    if (address.net === 'tcp') client.forwardOut('127.0.0.1', 0, address.host, address.port, settle)
    else if (address.net === 'unix') client.openssh_forwardOutStreamLocal(address.path, settle)
    else refuse('a ProxyJump leads to tcp and unix sockets only', { remedy: 'use a ProxyCommand' })
  })
}
