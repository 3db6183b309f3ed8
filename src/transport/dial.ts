// Address -> connected stream. One way out for every failure: a ConnectError that names address and remedy.

import net from 'node:net'
import type { Duplex } from 'node:stream'
import { CpuError } from '../errors.js'
import { connectVsock } from '../native/vsock.js'
import { type Address, formatAddress } from './address.js'
import { connectSerial } from './dial-serial.js'

export interface DialOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

/** Failures of any transport: `code` is `ERR_CPU_CONNECT`, `cause` the system's error. */
export class ConnectError extends CpuError {
  override readonly name = 'ConnectError'

  constructor(
    address: Address,
    reason: string,
    options: { cause?: unknown; remedy?: string | undefined } = {},
  ) {
    super('ERR_CPU_CONNECT', `cannot connect to ${formatAddress(address)}: ${reason}`, options)
  }
}

type Connectable = Duplex & { setNoDelay?: (on: boolean) => unknown }

/** Connects, within `timeoutMs`. The caller owns the stream. Throws ConnectError. */
export async function dial(address: Address, options: DialOptions): Promise<Duplex> {
  options.signal?.throwIfAborted()
  const stream = openOrFail(address, options)
  try {
    await connected(stream, options)
    if (address.net === 'unix-vsock') await requestPort(stream, address.port, options)
    stream.setNoDelay?.(true)
    return stream
  } catch (error) {
    stream.destroy()
    throw asConnectError(address, error)
  }
}

function openOrFail(address: Address, options: DialOptions): Connectable {
  try {
    return open(address, options)
  } catch (error) {
    throw asConnectError(address, error)
  }
}

function open(address: Address, options: DialOptions): Connectable {
  switch (address.net) {
    case 'vsock':
      return connectVsock({ cid: address.cid, port: address.port, timeoutMs: options.timeoutMs })
    case 'unix':
    case 'unix-vsock':
      return net.connect({ path: address.path })
    case 'serial':
      return connectSerial(address.path)
    case 'tcp':
      return net.connect({ host: address.host, port: address.port, family: address.family })
  }
}

/** Runs `start` under the time limit and the signal; `start` returns a function that takes its listeners away. */
function bounded<T>(
  options: DialOptions,
  start: (resolve: (value: T) => void, reject: (reason: unknown) => void) => () => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const limit = AbortSignal.timeout(options.timeoutMs)
    const stop = options.signal === undefined ? limit : AbortSignal.any([limit, options.signal])
    const onAbort = () => settle(() => reject(stop.reason))
    const settle = (act: () => void) => {
      stop.removeEventListener('abort', onAbort)
      removeListeners()
      act()
    }
    stop.addEventListener('abort', onAbort)
    const removeListeners = start(
      value => settle(() => resolve(value)),
      reason => settle(() => reject(reason)),
    )
  })
}

function connected(stream: Duplex, options: DialOptions): Promise<void> {
  return bounded(options, (resolve, reject) => {
    stream.once('connect', resolve).once('error', reject)
    return () => stream.off('connect', resolve).off('error', reject)
  })
}

const MAX_ANSWER_BYTES = 256

/** The host's half of hybrid vsock: `CONNECT <port>\n`, answered by a line that starts with `OK`. */
function requestPort(stream: Duplex, port: number, options: DialOptions): Promise<void> {
  stream.write(`CONNECT ${port}\n`)
  return bounded(options, (resolve, reject) => {
    let answer = ''
    const onReadable = () => {
      for (let byte: Buffer | null = stream.read(1); byte !== null; byte = stream.read(1)) {
        const character = byte.toString('latin1')
        if (character === '\n') return answer.startsWith('OK') ? resolve() : reject(refusal(answer, port))
        answer += character
        if (answer.length > MAX_ANSWER_BYTES) return reject(refusal(answer, port))
      }
    }
    const onEnd = () => reject(refusal(answer, port))
    stream.on('readable', onReadable).once('end', onEnd).once('error', reject)
    return () => stream.off('readable', onReadable).off('end', onEnd).off('error', reject)
  })
}

function refusal(answer: string, port: number): Error {
  const said =
    answer === '' ? 'the connection was closed' : `it answered ${JSON.stringify(answer.slice(0, 60))}`
  return new Error(`no vsock port ${port} behind this socket (${said})`)
}

const REMEDIES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'is cpud running there, and on this port?',
  ECONNRESET: 'is cpud running there, and on this port?',
  ENOENT: 'is there such a socket?',
  EBUSY: 'each command there takes one for as long as it lasts: wait for one to end',
  ENOTFOUND: 'check the name',
  EAI_AGAIN: 'check the name and the network',
  ENODEV: 'this CID does not exist, or vsock is missing here: modprobe vsock_loopback or vhost_vsock',
  EAFNOSUPPORT: 'vsock is missing here: modprobe vsock',
  EHOSTUNREACH: 'check the network',
  ENETUNREACH: 'check the network',
}

function asConnectError(address: Address, error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof CpuError) return error
  if (error.name === 'AbortError') return error
  if (error.name === 'TimeoutError') {
    return new ConnectError(address, 'no answer in time', { cause: error, remedy: 'is the machine up?' })
  }
  // net.connect tries several addresses of a name and then throws them together.
  const first = error instanceof AggregateError ? (error.errors[0] as Error) : error
  const code = (first as NodeJS.ErrnoException).code
  const reason =
    code === 'ENOTFOUND' ? 'unknown host' : code === 'ECONNREFUSED' ? 'connection refused' : first.message
  return new ConnectError(address, reason, {
    cause: error,
    remedy: code === undefined ? undefined : REMEDIES[code],
  })
}
