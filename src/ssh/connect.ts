// Connected stream -> authenticated SSH connection, the client's half.
import type { Duplex } from 'node:stream'
import ssh2 from 'ssh2'
import { CpuError } from '../errors.js'
import { clientCiphers, encryptsNatively, SLOW_ENCRYPTION, thisProcessor } from './algorithms.js'
import { batchWrites } from './batch-writes.js'
import type { Identity } from './identity.js'

export interface SshOptions {
  /** For messages, such as `vsock/3:17010`. */
  readonly peer: string
  readonly username: string
  /** Tried in order, before the agent's. */
  readonly identities: readonly Identity[]
  readonly agentSocket?: string | undefined
  /** Resolves when the server's public key (SSH wire form) is the expected one; its rejection ends the connection. */
  readonly verifyHostKey: (key: Buffer) => Promise<void>
  readonly timeoutMs: number
  readonly keepaliveIntervalMs: number
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
 * and whatever `verifyHostKey` rejects with.
 */
export async function connectSsh(stream: Duplex, options: SshOptions): Promise<ssh2.Client> {
  const client = new ssh2.Client()
  let hostKeyRefusal: unknown
  try {
    await new Promise<void>((resolve, reject) => {
      const abort = () => reject(options.signal?.reason)
      options.signal?.throwIfAborted()
      options.signal?.addEventListener('abort', abort, { once: true })
      client.once('ready', () => {
        options.signal?.removeEventListener('abort', abort)
        resolve()
      })
      client.on('error', reject)
      client.once('handshake', ({ cs }) => {
        const slowly = encryptsNatively(client) === false ? `, ${SLOW_ENCRYPTION}` : ''
        options.log?.(`encrypted with ${cs.cipher}${slowly}`)
      })
      batchWrites(stream)
      client.once('close', () => reject(new Error('the connection was closed')))
      client.connect({
        sock: stream,
        username: options.username,
        authHandler: authenticationMethods(options),
        algorithms: { cipher: options.ciphers ?? clientCiphers(thisProcessor()), compress: ['none'] },
        readyTimeout: options.timeoutMs,
        keepaliveInterval: options.keepaliveIntervalMs,
        keepaliveCountMax: 3,
        debug: options.debug,
        hostVerifier: (key: Buffer, verify: (valid: boolean) => void) => {
          options.verifyHostKey(key).then(
            () => verify(true),
            refusal => {
              hostKeyRefusal = refusal
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
    throw hostKeyRefusal ?? sshError(error, options)
  }
}

function authenticationMethods(options: SshOptions): ssh2.AnyAuthMethod[] {
  const { username } = options
  const methods: ssh2.AnyAuthMethod[] = options.identities.map(identity => ({
    type: 'publickey',
    username,
    key: identity.key,
  }))
  if (options.agentSocket !== undefined) methods.push({ type: 'agent', username, agent: options.agentSocket })
  // A server that asks for no authentication at all says so to this method.
  methods.push({ type: 'none', username })
  return methods
}

function sshError(error: unknown, options: SshOptions): unknown {
  if (!(error instanceof Error) || error.name === 'AbortError') return error
  const level = (error as { level?: string }).level
  if (level === 'client-authentication') {
    const tried = [
      ...options.identities.map(identity => identity.name),
      ...(options.agentSocket === undefined ? [] : ['the agent']),
    ]
    return new CpuError(
      'ERR_CPU_AUTH',
      `${options.peer} accepts none of our keys (tried ${tried.length === 0 ? 'none: there is no key' : tried.join(', ')})`,
      {
        cause: error,
        remedy: 'give the right one with -key FILE, or add the public key to authorized_keys there',
      },
    )
  }
  const reason = level === 'client-timeout' ? 'no answer in time' : error.message
  return new CpuError('ERR_CPU_SSH', `no SSH session with ${options.peer}: ${reason}`, {
    cause: error,
    remedy:
      level === 'protocol' || level === 'handshake' ? 'is it cpud or sshd that listens there?' : undefined,
  })
}
