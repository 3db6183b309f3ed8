// Connected stream -> authenticated SSH connection, the client's half.
import type { Duplex } from 'node:stream'
import ssh2 from 'ssh2'
import { CpuError } from '../errors.js'
import {
  clientCiphers,
  encryptsNatively,
  hostKeyAlgorithms,
  SLOW_ENCRYPTION,
  thisProcessor,
} from './algorithms.js'
import { batchWrites } from './batch-writes.js'
import { withoutValues } from './debug-lines.js'
import { type Login, loginMethods } from './login-methods.js'

export interface SshOptions extends Login {
  /** For messages, such as `vsock/3:17010`. */
  readonly peer: string
  /** Types of keys that the server is asked for first. */
  readonly hostKeyTypes?: readonly string[] | undefined
  /** Resolves when the server's public key (SSH wire form) is the expected one; its rejection ends the connection. */
  readonly verifyHostKey: (key: Buffer) => Promise<void>
  /** Does not run while the user is asked. */
  readonly timeoutMs: number
  /** 0 for none. */
  readonly keepaliveIntervalMs: number
  /** After how many that stay unanswered the connection is given up; 3 by default. */
  readonly keepaliveCountMax?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly debug?: ((line: string) => void) | undefined
  /** Instead of those that suit this machine. */
  readonly ciphers?: ssh2.CipherAlgorithm[] | undefined
  /** Gets one line about the encryption. */
  readonly log?: ((line: string) => void) | undefined
}

/**
 * Authenticates over `stream`, which the returned client owns (`client.end()` closes it).
 * Throws CpuError: ERR_CPU_AUTH when no key is accepted, ERR_CPU_SSH for anything else the protocol can meet,
 * whatever `verifyHostKey` rejects with, and what `stream` fails with where that is a CpuError.
 */
export async function connectSsh(stream: Duplex, options: SshOptions): Promise<ssh2.Client> {
  const client = new ssh2.Client()
  const tried: string[] = []
  const limit = new TimeLimit(options.timeoutMs)
  try {
    await new Promise<void>((resolve, reject) => {
      options.signal?.throwIfAborted()
      const abort = () => reject(options.signal?.reason)
      options.signal?.addEventListener('abort', abort, { once: true })
      client.once('ready', () => {
        options.signal?.removeEventListener('abort', abort)
        resolve()
      })
      // One of an agent's keys that cannot sign is no reason not to try the next.
      client.on('error', error => (isAgentError(error) ? options.log?.(error.message) : reject(error)))
      client.once('handshake', ({ cs }) => {
        const slowly = encryptsNatively(client) === false ? `, ${SLOW_ENCRYPTION}` : ''
        options.log?.(`encrypted with ${cs.cipher}${slowly}`)
      })
      batchWrites(stream)
      client.once('close', () => reject(new Error('the connection was closed')))
      limit.start(reject)
      const methods = loginMethods(unhurried(options, limit), tried)
      client.connect({
        sock: stream,
        username: options.username,
        authHandler: (_left, _partial, next) => {
          methods.next().then(({ value, done }) => next(done ? (false as never) : value), reject)
        },
        algorithms: {
          cipher: options.ciphers ?? clientCiphers(thisProcessor()),
          compress: ['none'],
          serverHostKey: hostKeyAlgorithms(options.hostKeyTypes ?? []),
        },
        readyTimeout: 0,
        keepaliveInterval: options.keepaliveIntervalMs,
        keepaliveCountMax: options.keepaliveCountMax ?? 3,
        debug: options.debug && (line => options.debug?.(withoutValues(line))),
        hostVerifier: (key: Buffer, verify: (valid: boolean) => void) => {
          limit
            .pauseFor(() => options.verifyHostKey(key))
            .then(
              () => verify(true),
              refusal => {
                reject(refusal)
                verify(false)
              },
            )
        },
      } as ssh2.ConnectConfig)
    })
    return client
  } catch (error) {
    client.on('error', () => {}) // a dying connection may fail once more
    client.destroy()
    throw sshError(error, options, tried)
  } finally {
    limit.stop()
  }
}

/** A login that takes as long as the user does to type a passphrase. */
function unhurried(login: Login, limit: TimeLimit): Login {
  const { askPassphrase: ask } = login
  return { ...login, askPassphrase: ask && (question => limit.pauseFor(() => ask(question))) }
}

class TimedOut extends Error {}

/** Counts anew after each pause. */
class TimeLimit {
  readonly #ms: number
  #timer: NodeJS.Timeout | undefined
  #expired: ((reason: Error) => void) | undefined

  constructor(ms: number) {
    this.#ms = ms
  }

  start(expired: (reason: Error) => void): void {
    this.#expired = expired
    this.#timer = setTimeout(() => expired(new TimedOut('no answer in time')), this.#ms)
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#expired = undefined
  }

  async pauseFor<T>(act: () => Promise<T>): Promise<T> {
    clearTimeout(this.#timer)
    try {
      return await act()
    } finally {
      if (this.#expired !== undefined) this.start(this.#expired)
    }
  }
}

function isAgentError(error: Error): boolean {
  return (error as { level?: string }).level === 'agent'
}

function sshError(error: unknown, { peer }: SshOptions, tried: readonly string[]): unknown {
  if (!(error instanceof Error) || error.name === 'AbortError' || error instanceof CpuError) return error
  const level = (error as { level?: string }).level
  if (level === 'client-authentication') {
    return new CpuError(
      'ERR_CPU_AUTH',
      `${peer} accepts none of our keys (tried ${tried.length === 0 ? 'none: there is no key' : tried.join(', ')})`,
      {
        cause: error,
        remedy: 'give the right one with -key FILE, or add the public key to authorized_keys there',
      },
    )
  }
  return new CpuError('ERR_CPU_SSH', `no SSH session with ${peer}: ${error.message}`, {
    cause: error,
    remedy:
      level === 'protocol' || level === 'handshake' ? 'is it cpud or sshd that listens there?' : undefined,
  })
}
