// `cpu -srv`: the file server alone, on a socket, for debugging and for other 9P clients. Nobody who connects has to
// prove anything, so what others than this user can reach must be asked for.

import type { Duplex } from 'node:stream'
import { serve9P } from '../9p/serve.js'
import { describeError } from '../cli/main.js'
import { UsageError } from '../errors.js'
import { openTree } from '../fs/open-tree.js'
import type { FileTree } from '../fs/tree.js'
import { VMADDR_CID_ANY } from '../linux/vsock.js'
import { type Address, formatAddress, isLoopback, parseU32, toAddress } from '../transport/address.js'
import { listen } from '../transport/listen.js'

export interface ServeFilesOptions {
  readonly address: Address
  /** The local directory that is served. */
  readonly root: string
  readonly readOnly: boolean
  /** Allows an address that others than this user can reach. */
  readonly open: boolean
  /** Ends it. */
  readonly signal: AbortSignal
  readonly log: (line: string) => void
  /** Called with each 9P message in one line. */
  readonly trace: ((line: string) => void) | undefined
}

/** Descriptors are finite, and one connection's files must not be refused for the sake of a flood of others. */
const MAX_CONNECTIONS = 256

/**
 * The address that `-srv` names: `unix:PATH`, `tcp:HOST:PORT` (port 0 for a free one, IPv6 in brackets) or
 * `vsock:PORT`. Throws UsageError.
 */
export function parseServeAddress(text: string): Address {
  const [, net, rest = ''] = /^(unix|tcp|vsock):(.+)$/s.exec(text) ?? []
  if (net === 'unix') return toAddress({ net, host: rest })
  if (net === 'vsock') {
    const port = parseU32(rest)
    if (port !== undefined) return toAddress({ net, host: String(VMADDR_CID_ANY), port })
  }
  if (net === 'tcp') {
    const [, bracketed, plain = '', portText = ''] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d+)$/.exec(rest) ?? []
    const port = parseU32(portText)
    if (port === 0) return { net: 'tcp', host: bracketed ?? plain, port, family: 0 }
    if (port !== undefined) return toAddress({ net, host: bracketed ?? plain, port })
  }
  throw new UsageError(
    `cannot serve files on ${JSON.stringify(text)}`,
    'write unix:PATH, tcp:HOST:PORT or vsock:PORT',
  )
}

/** Serves files to everyone who connects, until the signal; then removes its socket. Throws CpuError. */
export async function serveFiles(options: ServeFilesOptions): Promise<void> {
  const { address, root, readOnly, signal } = options
  if (!options.open) refuseOpen(address)
  const tree = openTree(root, { readOnly })
  const served = new Set<Promise<void>>()
  const trace = options.trace && ((line: string) => options.trace?.(`9p: ${line}`))
  const serve = (stream: Duplex, name: string) => {
    const share = served.size < MAX_CONNECTIONS ? shareOf(tree) : `${MAX_CONNECTIONS} are connected`
    if (typeof share === 'string') {
      options.log(`refused ${name}: ${share}`)
      stream.destroy()
      return
    }
    options.log(`connected: ${name}`)
    const service = serve9P(stream, share, { signal, trace }).finally(() => {
      if (share !== tree) share.dispose()
      served.delete(service)
      options.log(`disconnected: ${name}`)
    })
    served.add(service)
  }
  try {
    const listener = await listen(address, (stream, peer) => serve(stream, peer.name))
    const mode = readOnly ? ' read-only' : ''
    console.error(`cpu: serving ${root}${mode} on ${nameOf(listener.address)}`)
    await aborted(signal)
    await Promise.all(served)
    await listener.close()
  } finally {
    tree.dispose()
  }
}

/** What one connection gets of the tree, or why it gets none. */
function shareOf(tree: FileTree): FileTree | string {
  try {
    return tree.share?.() ?? tree
  } catch (error) {
    return describeError(error)
  }
}

/** Throws UsageError for an address that others can reach. */
function refuseOpen(address: Address): void {
  if (address.net === 'unix' || (address.net === 'tcp' && isLoopback(address.host))) return
  const who = address.net === 'vsock' ? 'every virtual machine of this host' : 'others'
  throw new UsageError(
    `${nameOf(address)} can be reached by ${who}, and the files are served to all who connect`,
    'say -srv-open if that is meant, or take a loopback address or unix:PATH',
  )
}

function nameOf(address: Address): string {
  return address.net === 'vsock' ? `vsock port ${address.port}` : formatAddress(address)
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
