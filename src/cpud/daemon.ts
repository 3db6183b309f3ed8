// The daemon: streams in, authenticated SSH connections with sessions on them. It knows no sockets;
// listeners hand it what they accept.
import type { Duplex } from 'node:stream'
import ssh2 from 'ssh2'
import type { UserNamespace } from '../native/user-namespace.js'
import { encryptsNatively, SLOW_ENCRYPTION, serverCiphers, thisProcessor } from '../ssh/algorithms.js'
import type { AuthorizedKey } from '../ssh/authorized-keys.js'
import { batchWrites } from '../ssh/batch-writes.js'
import { Connection } from './connection.js'

export interface DaemonOptions {
  /** OpenSSH private keys, the text of their files. */
  readonly hostKeys: readonly (string | Buffer)[]
  /** Who may log in; undefined lets anybody in. */
  readonly authorizedKeys: readonly AuthorizedKey[] | undefined
  /** Of sessions, where this process may not mount. */
  readonly userNamespace?: UserNamespace | undefined
  readonly log: (line: string) => void
  readonly debug?: ((line: string) => void) | undefined
}

/** The software version in our SSH banner. */
export const SERVER_IDENT = 'cpu-harness'

const LOGIN_GRACE_MS = 60_000
const MAX_UNAUTHENTICATED = 64
const KEEPALIVE_INTERVAL_MS = 15_000

export class Daemon implements AsyncDisposable {
  readonly #options: DaemonOptions
  readonly #server: ssh2.Server
  readonly #connections = new Set<Connection>()
  #unauthenticated = 0
  #closing = false

  constructor(options: DaemonOptions) {
    this.#options = options
    this.#server = new ssh2.Server(
      {
        hostKeys: [...options.hostKeys],
        ident: SERVER_IDENT,
        algorithms: { cipher: serverCiphers(thisProcessor()) },
        keepaliveInterval: KEEPALIVE_INTERVAL_MS,
        keepaliveCountMax: 3,
        debug: options.debug,
      } as ssh2.ServerConfig,
      (client, info) => this.#connected(client, info),
    )
  }

  /** Takes a connected stream over. Streams beyond the limit of unauthenticated ones are closed at once. */
  accept(stream: Duplex): void {
    stream.on('error', () => stream.destroy())
    if (this.#closing || this.#unauthenticated >= MAX_UNAUTHENTICATED) return void stream.destroy()
    this.#unauthenticated++
    let counted = true
    const settle = () => {
      clearTimeout(grace)
      if (counted) this.#unauthenticated--
      counted = false
    }
    const grace = setTimeout(() => stream.destroy(), LOGIN_GRACE_MS)
    stream.once('close', settle)
    stream.once(AUTHENTICATED, settle)
    batchWrites(stream)
    this.#server.injectSocket(stream as never)
  }

  #connected(client: ssh2.Connection, info: ssh2.ClientInfo): void {
    const peer = info.port === undefined ? (info.ip ?? 'unix') : `${info.ip}:${info.port}`
    const stream = streamOf(client)
    const connection = new Connection(client, { ...this.#options, peer, stream })
    this.#connections.add(connection)
    client.once('ready', () => stream.emit(AUTHENTICATED))
    client.once('handshake', () => {
      if (encryptsNatively(client) === false) this.#options.log(`${peer}: encrypted ${SLOW_ENCRYPTION}`)
    })
    client.once('close', () => this.#connections.delete(connection))
  }

  /** Ends every session (HUP, then KILL) and connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true
    await Promise.all([...this.#connections].map(connection => connection.close()))
  }
}

const AUTHENTICATED = Symbol('authenticated')

/** ssh2 keeps the socket to itself; its own examples reach for it the same way. */
function streamOf(client: ssh2.Connection): Duplex {
  return (client as unknown as { _sock: Duplex })._sock
}
