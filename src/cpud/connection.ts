// One SSH connection: who it is, the ways back it asked for, its sessions.
import type { Duplex } from 'node:stream'
import type ssh2 from 'ssh2'
import type { UserNamespace } from '../native/user-namespace.js'
import { VsockSocket } from '../native/vsock.js'
import type { AuthorizedKey } from '../ssh/authorized-keys.js'
import { ReceivedEnvironment } from '../ssh/exec-request.js'
import { type PtyRequest, Session } from './session.js'

export interface ConnectionOptions {
  readonly authorizedKeys: readonly AuthorizedKey[] | undefined
  /** For the log. */
  readonly peer: string
  /** What the connection runs over. */
  readonly stream: Duplex
  /** Of sessions, where cpud may not mount. */
  readonly userNamespace?: UserNamespace | undefined
  readonly log: (line: string) => void
}

const MAX_ENVIRONMENT_BYTES = 8 * 1024 * 1024
const MAX_FORWARDS = 64
const FIRST_FORWARD_PORT = 20_000
const DISCONNECT_TIMEOUT_MS = 1000

export class Connection {
  readonly #client: ssh2.Connection
  readonly #options: ConnectionOptions
  /** Ports that stand for ways back through this very connection; none is open on this machine. */
  readonly #forwards = new Map<number, string>()
  readonly #sessions = new Set<Session>()

  constructor(client: ssh2.Connection, options: ConnectionOptions) {
    this.#client = client
    this.#options = options
    client.on('authentication', context => this.#authenticate(context))
    client.on('request', (accept, reject, name, info) => {
      if (name === 'tcpip-forward') this.#forward(info as ssh2.TcpipBindInfo, accept, reject)
      else reject?.()
    })
    client.on('session', accept => this.#open(accept()))
    client.on('error', error => {
      options.log(`${options.peer}: ${error.message}`)
      // ssh2 only ends it, which a peer that has fallen silent never answers.
      options.stream.destroy()
    })
    client.once('ready', () => options.log(`${options.peer}: connected`))
    client.once('close', () => void this.#endSessions())
  }

  /** Ends the sessions, then the connection. */
  async close(): Promise<void> {
    await this.#endSessions()
    this.#client.end()
    setTimeout(() => this.#options.stream.destroy(), DISCONNECT_TIMEOUT_MS).unref()
  }

  async #endSessions(): Promise<void> {
    await Promise.all([...this.#sessions].map(session => session.hangUp()))
  }

  #authenticate(context: ssh2.AuthContext): void {
    const { authorizedKeys } = this.#options
    if (authorizedKeys === undefined) return context.accept()
    if (context.method !== 'publickey') return context.reject(['publickey'])
    const { key: offered, blob, signature, hashAlgo } = context
    const known = authorizedKeys.find(({ blob }) => blob.equals(offered.data))
    if (known === undefined) return context.reject(['publickey'])
    // Without a signature the client only asks whether the key would do.
    if (signature === undefined || blob === undefined) return context.accept()
    if (known.key.verify(blob, signature, hashAlgo) === true) return context.accept()
    context.reject(['publickey'])
  }

  /** A forward stays inside this connection: no other process on this machine can reach the user's files. */
  #forward(
    info: ssh2.TcpipBindInfo,
    accept: ((port?: number) => void) | undefined,
    reject: (() => void) | undefined,
  ): void {
    if (info.bindPort !== 0 || this.#forwards.size >= MAX_FORWARDS) return reject?.()
    const port = FIRST_FORWARD_PORT + this.#forwards.size
    this.#forwards.set(port, info.bindAddr)
    accept?.(port)
  }

  #open(channel: ssh2.Session): void {
    const environment = new ReceivedEnvironment()
    let pty: PtyRequest | undefined
    let session: Session | undefined
    const start = (stream: ssh2.ServerChannel, command: string) => {
      session = new Session({
        client: this.#client,
        stream,
        command,
        environment,
        pty,
        peerCid: peerCidOf(this.#options.stream),
        forwards: this.#forwards,
        userNamespace: this.#options.userNamespace,
        log: line => this.#options.log(`${this.#options.peer}: ${line}`),
      })
      const current = session
      this.#sessions.add(current)
      void current.run().finally(() => this.#sessions.delete(current))
    }
    channel.on('env', (accept, _reject, info) => {
      environment.set(info.key, info.val)
      if (environment.bytes > MAX_ENVIRONMENT_BYTES) this.#client.end()
      else accept?.()
    })
    channel.on('pty', (accept, _reject, info) => {
      const { rows, cols: columns, modes } = info
      pty = {
        rows,
        columns,
        term: (info as { term?: string }).term ?? '',
        modes: modes as unknown as Record<string, number>,
      }
      accept?.()
    })
    channel.on('window-change', (accept, _reject, { rows, cols: columns }) => {
      session?.resize(rows, columns)
      accept?.()
    })
    channel.on('signal', (accept, _reject, { name }) => {
      session?.signal(name)
      accept?.()
    })
    channel.on('exec', (accept, _reject, { command }) => start(accept(), command))
    channel.on('shell', accept => start(accept(), ''))
  }
}

/** Of a client that came over vsock. */
function peerCidOf(stream: Duplex): number | undefined {
  return stream instanceof VsockSocket ? stream.remoteCid : undefined
}
