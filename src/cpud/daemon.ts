// The daemon: streams in, authenticated SSH connections with sessions on them. It knows no sockets;
// listeners hand it what they accept.
import type { Duplex } from 'node:stream'
import ssh2 from 'ssh2'
import { encryptsNatively, SLOW_ENCRYPTION, serverCiphers, thisProcessor } from '../ssh/algorithms.js'
import { batchWrites } from '../ssh/batch-writes.js'
import { CPUD_SOFTWARE } from '../ssh/peer.js'
import type { Peer } from '../transport/listen.js'
import { type Arrival, type ArrivalLimits, Arrivals, stage } from './arrivals.js'
import { Connection, type ConnectionOptions } from './connection.js'

export interface DaemonOptions extends ConnectionOptions, ArrivalLimits {
  /** OpenSSH private keys, the text of their files. */
  readonly hostKeys: readonly (string | Buffer)[]
  readonly log: (line: string) => void
  readonly debug?: ((line: string) => void) | undefined
}

const KEEPALIVE_INTERVAL_MS = 15_000

export class Daemon implements AsyncDisposable {
  readonly #options: DaemonOptions
  readonly #server: ssh2.Server
  readonly #arrivals: Arrivals
  /** By their streams, which is all that ssh2 gives back. */
  readonly #arrivalOf = new WeakMap<Duplex, Arrival>()
  readonly #connections = new Set<Connection>()
  #closing = false

  constructor(options: DaemonOptions) {
    this.#options = options
    this.#arrivals = new Arrivals(options, options.log)
    this.#server = new ssh2.Server(
      {
        hostKeys: [...options.hostKeys],
        ident: CPUD_SOFTWARE,
        // Without compression: 30 KB of it can be 30 MB.
        algorithms: { cipher: serverCiphers(thisProcessor()), compress: ['none'] },
        keepaliveInterval: KEEPALIVE_INTERVAL_MS,
        keepaliveCountMax: 3,
        debug: options.debug,
      } as ssh2.ServerConfig,
      (client, { header }) => this.#greeted(client, header.versions.software),
    )
  }

  /** Takes a connected stream over. */
  accept(stream: Duplex, peer: Peer): void {
    if (this.#closing) return void stream.destroy()
    const arrival = this.#arrivals.admit(stream, peer)
    this.#arrivalOf.set(stream, arrival)
    batchWrites(stream)
    this.#server.injectSocket(stream as never)
    arrival.watchUnread()
  }

  #greeted(client: ssh2.Connection, software: string): void {
    const arrival = this.#arrivalOf.get(streamOf(client))!
    arrival.stage = stage.greeted
    const connection = new Connection(client, arrival, software, this.#options)
    this.#connections.add(connection)
    client.once('handshake', () => {
      arrival.stage = stage.keyed
      if (encryptsNatively(client) === false) arrival.log(`encrypted ${SLOW_ENCRYPTION}`)
    })
    client.once('ready', () => this.#arrivals.settle(arrival))
    client.once('close', () => this.#connections.delete(connection))
  }

  /** Ends every session (HUP, then KILL) and connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true
    this.#arrivals.close()
    await Promise.all([...this.#connections].map(connection => connection.close()))
  }
}

/** ssh2 keeps the socket to itself; its own examples reach for it the same way. */
function streamOf(client: ssh2.Connection): Duplex {
  return (client as unknown as { _sock: Duplex })._sock
}
