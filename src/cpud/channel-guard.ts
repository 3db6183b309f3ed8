// What ssh2 leaves open on the channels of a server, for peers that mean harm or read slowly. It hands each write to the
// socket however full that is; it never ends with a peer that takes packets of no length; it goes on taking data from a
// peer that has used its window up; of two streams that wait for the window it continues one; and it keeps a session on
// which nothing was run for as long as the connection lasts. It also takes the end of stdin for the end of the session.
import type { Duplex } from 'node:stream'
import type ssh2 from 'ssh2'

/** As much may wait in the socket before channels do. */
const MAX_WAITING_BYTES = 1024 * 1024
/** Of a channel, unread. ssh2 opens a window of 2 MiB anew while less than 2 MiB wait, so 4 are within the rules. */
const MAX_RECEIVED_BYTES = 6 * 1024 * 1024
/** SSH_EXTENDED_DATA_STDERR of RFC 4254. */
const STDERR = 1

/** The parts of ssh2's objects that its types keep to themselves. */
interface Client {
  readonly _sock: Duplex
  readonly _protocol: {
    channelData(channel: number, data: Buffer): void
    channelExtData(channel: number, data: Buffer, type: number): void
    channelClose(channel: number): void
  }
  readonly _chanMgr: { remove(channel: number): void }
  emit(event: 'error', error: Error): void
}

interface Outgoing {
  readonly id: number
  window: number
  readonly packetSize: number
  readonly state: string
}

type Write = (data: Buffer, encoding: string, done: () => void) => void

interface Channel {
  readonly _client: Client
  readonly outgoing: Outgoing
  readonly readableLength: number
  readonly stderr?: { _write: Write }
  _write: Write
  _waitWindow: boolean
  _chunk: undefined
  _chunkcb: (() => void) | undefined
  push(data: Buffer | null): boolean
}

interface BareSession {
  _ending: boolean
  readonly _channel?: unknown
  readonly _chanInfo: { readonly incoming: { readonly id: number }; readonly outgoing: Outgoing }
}

/** Bounds what both directions of a channel keep in memory. A peer that oversteps makes an error of its connection. */
export function guardChannel(stream: ssh2.ServerChannel): void {
  const channel = stream as unknown as Channel
  const { _client: client } = channel
  const output = new ChannelOutput(channel)
  const { id, packetSize } = channel.outgoing
  channel._write = (data, _encoding, done) =>
    output.write(data, part => client._protocol.channelData(id, part), done)
  if (channel.stderr !== undefined)
    channel.stderr._write = (data, _encoding, done) =>
      output.write(data, part => client._protocol.channelExtData(id, part, STDERR), done)
  const push = channel.push.bind(channel)
  channel.push = data => {
    if (data !== null && channel.readableLength + data.length > MAX_RECEIVED_BYTES) {
      client.emit('error', new Error('sends more than it was allowed to'))
      return false
    }
    return push(data)
  }
  if (packetSize === 0) client.emit('error', new Error('takes packets of no length'))
}

/** Goes on hearing signals and window changes when the input has ended. */
export function hearAfterInput(session: ssh2.Session): void {
  session.on('eof', () => {
    const bare = session as unknown as BareSession
    bare._ending = false
  })
}

/** Gives a session up that the peer has closed, or left open, without running anything on it. */
export function releaseSession(connection: ssh2.Connection, session: ssh2.Session): void {
  const { _channel, _chanInfo } = session as unknown as BareSession
  if (_channel !== undefined) return
  const client = connection as unknown as Client
  client._chanMgr.remove(_chanInfo.incoming.id)
  if (client._sock.writable) client._protocol.channelClose(_chanInfo.outgoing.id)
}

/** The way out of one channel, for its stdout and stderr, which share a window. */
class ChannelOutput {
  readonly #channel: Channel
  #waiting: (() => void)[] = []

  constructor(channel: Channel) {
    this.#channel = channel
  }

  write(data: Buffer, send: (part: Buffer) => void, done: () => void): void {
    const { outgoing, _client: client } = this.#channel
    let rest = data
    while (rest.length > 0 && outgoing.state === 'open' && outgoing.packetSize > 0) {
      const continued = () => this.write(rest, send, done)
      if (outgoing.window <= 0) return this.#awaitWindow(continued)
      if (client._sock.writableLength > MAX_WAITING_BYTES) return void client._sock.once('drain', continued)
      const part = rest.subarray(0, Math.min(outgoing.window, outgoing.packetSize))
      outgoing.window -= part.length
      rest = rest.subarray(part.length)
      send(part)
    }
    done()
  }

  /** ssh2 calls `_chunkcb` when the peer has widened the window. */
  #awaitWindow(continued: () => void): void {
    this.#waiting.push(continued)
    this.#channel._waitWindow = true
    this.#channel._chunkcb = () => {
      for (const next of this.#waiting.splice(0)) next()
    }
  }
}
