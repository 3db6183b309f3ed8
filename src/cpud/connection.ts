// One SSH connection: who it is, the ways back it asked for, its sessions.
import type ssh2 from 'ssh2'
import type { UserNamespace } from '../native/user-namespace.js'
import type { User } from '../native/users.js'
import { VsockSocket } from '../native/vsock.js'
import { ReceivedEnvironment } from '../ssh/exec-request.js'
import { GO_SOFTWARE } from '../ssh/peer.js'
import { type Arrival, DISCONNECT_TIMEOUT_MS } from './arrivals.js'
import { guardChannel, hearAfterInput, releaseSession } from './channel-guard.js'
import { type KeySource, Login } from './login.js'
import { type PtyRequest, Session } from './session.js'

export interface ConnectionOptions {
  /** Who may log in; undefined lets anybody in. */
  readonly keys: KeySource | undefined
  /** Of sessions, where cpud may not mount. */
  readonly userNamespace?: UserNamespace | undefined
  /** Who runs the programs, if not cpud's own user. */
  readonly user?: User | undefined
}

/** Of all sessions that are open. */
const MAX_ENVIRONMENT_BYTES = 8 * 1024 * 1024
const MAX_SESSIONS = 64
const MAX_FORWARDS = 64
const FIRST_FORWARD_PORT = 20_000

export class Connection {
  readonly #client: ssh2.Connection
  readonly #arrival: Arrival
  readonly #login: Login
  readonly #options: ConnectionOptions
  readonly #software: string
  /** Ports that stand for ways back through this very connection; none is open on this machine. */
  readonly #forwards = new Map<number, string>()
  /** Whatever was sent to it, and is kept. */
  readonly #channels = new Map<ssh2.Session, ReceivedEnvironment>()
  readonly #sessions = new Set<Session>()

  /** `software` is the client's, as its banner has it. */
  constructor(client: ssh2.Connection, arrival: Arrival, software: string, options: ConnectionOptions) {
    this.#software = software
    this.#client = client
    this.#arrival = arrival
    this.#login = new Login(options.keys, arrival)
    this.#options = options
    client.on('authentication', context => this.#login.decide(context))
    client.on('request', (accept, reject, name, info) => {
      if (name === 'tcpip-forward') this.#forward(info as ssh2.TcpipBindInfo, accept, reject)
      else if (name === 'cancel-tcpip-forward' && this.#cancel(info as ssh2.TcpipBindInfo)) accept?.()
      else reject?.()
    })
    client.on('session', (accept, reject) => {
      if (this.#channels.size >= MAX_SESSIONS) return reject()
      this.#open(accept())
    })
    // ssh2 only ends it, which a peer that has fallen silent never answers.
    client.on('error', error => arrival.fail(error.message))
    client.once('ready', () => arrival.log(`connected: ${this.#login.who}`))
    client.once('close', () => {
      for (const channel of this.#channels.keys()) releaseSession(client, channel)
      void this.#endSessions()
    })
  }

  /** Ends the sessions, then the connection. */
  async close(): Promise<void> {
    await this.#endSessions()
    this.#client.end()
    setTimeout(() => this.#arrival.dismiss(), DISCONNECT_TIMEOUT_MS).unref()
  }

  async #endSessions(): Promise<void> {
    await Promise.all([...this.#sessions].map(session => session.hangUp()))
  }

  /** A forward stays inside this connection: no other process on this machine can reach the user's files. */
  #forward(
    info: ssh2.TcpipBindInfo,
    accept: ((port?: number) => void) | undefined,
    reject: (() => void) | undefined,
  ): void {
    if (info.bindPort !== 0 || this.#forwards.size >= MAX_FORWARDS) return reject?.()
    let port = FIRST_FORWARD_PORT
    while (this.#forwards.has(port)) port++
    this.#forwards.set(port, info.bindAddr)
    accept?.(port)
  }

  /** Whether there was such a forward. */
  #cancel({ bindAddr, bindPort }: ssh2.TcpipBindInfo): boolean {
    return this.#forwards.get(bindPort) === bindAddr && this.#forwards.delete(bindPort)
  }

  #open(channel: ssh2.Session): void {
    const environment = new ReceivedEnvironment()
    this.#channels.set(channel, environment)
    let pty: PtyRequest | undefined
    let session: Session | undefined
    const start = (stream: ssh2.ServerChannel | undefined, command: string) => {
      // ssh2 gives none where one runs already, or the client has closed the channel.
      if (stream !== undefined) session = this.#start(stream, command, environment, pty)
    }
    channel.on('close', () => {
      this.#channels.delete(channel)
      releaseSession(this.#client, channel)
    })
    hearAfterInput(channel)
    channel.on('env', (accept, reject, info) => {
      if (session !== undefined) return reject?.()
      environment.set(info.key, info.val)
      if (this.#environmentBytes() > MAX_ENVIRONMENT_BYTES)
        this.#arrival.fail('sends too large an environment')
      else accept?.()
    })
    channel.on('pty', (accept, reject, info) => {
      if (!this.#login.options.pty) return reject?.()
      const { rows, cols: columns, modes } = info
      pty = {
        rows,
        columns,
        term: (info as { term?: string }).term ?? '',
        // Older ones of Go's client ask for no echo, and need it: Go's cpud pays no heed to modes.
        modes: this.#software === GO_SOFTWARE ? {} : (modes as unknown as Record<string, number>),
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

  #environmentBytes(): number {
    let bytes = 0
    for (const environment of this.#channels.values()) bytes += environment.bytes
    return bytes
  }

  #start(
    stream: ssh2.ServerChannel,
    command: string,
    environment: ReceivedEnvironment,
    pty: PtyRequest | undefined,
  ): Session {
    guardChannel(stream)
    const session = new Session({
      client: this.#client,
      stream,
      command,
      environment,
      permissions: this.#login.options,
      pty,
      peerCid: peerCidOf(this.#arrival),
      forwards: this.#forwards,
      userNamespace: this.#options.userNamespace,
      user: this.#options.user,
      log: line => this.#arrival.log(line),
    })
    this.#sessions.add(session)
    void session.run().finally(() => this.#sessions.delete(session))
    return session
  }
}

/** Of a client that came over vsock. */
function peerCidOf({ stream }: Arrival): number | undefined {
  return stream instanceof VsockSocket ? stream.remoteCid : undefined
}
