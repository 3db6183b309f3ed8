// Telling somebody that this cpud listens, as u-root's cpud does for networks and launchers that cannot see it:
// connect, write "ok", hang up.
import { setTimeout } from 'node:timers/promises'
import { UsageError } from '../errors.js'
import { type Address, formatAddress, splitHost, toAddress } from '../transport/address.js'
import { dial } from '../transport/dial.js'

export interface Registration {
  readonly address: Address
  readonly timeoutMs: number
}

const RETRY_INTERVAL_MS = 200

/** Reads `HOST:PORT`, `[V6]:PORT`, `vsock/CID:PORT` or `unix/PATH`. Throws UsageError. */
export function parseRegistration(text: string, timeoutMs: number): Registration {
  const parts = splitHost(text)
  if (parts.net !== undefined) return { address: toAddress(parts), timeoutMs }
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text)
  if (match === null)
    throw new UsageError(
      `-register ${text} is no address`,
      'write HOST:PORT, [V6]:PORT, vsock/CID:PORT or unix/PATH',
    )
  return { address: toAddress({ host: match[1] ?? match[2]!, port: Number(match[3]) }), timeoutMs }
}

/** Tries until the time is over. Never rejects: a cpud that nobody was told of serves all the same. */
export async function register(
  { address, timeoutMs }: Registration,
  log: (line: string) => void,
): Promise<void> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    try {
      await announce(address, Math.max(1, Math.ceil(deadline - performance.now())))
      return log(`registered with ${formatAddress(address)}`)
    } catch (error) {
      if (performance.now() + RETRY_INTERVAL_MS >= deadline)
        return log(`not registered (-register): ${(error as Error).message}`)
    }
    await setTimeout(RETRY_INTERVAL_MS, undefined, { ref: false })
  }
}

async function announce(address: Address, timeoutMs: number): Promise<void> {
  const stream = await dial(address, { timeoutMs })
  stream.on('error', () => {}) // it may have been taken all the same
  stream.resume().end('ok')
}
