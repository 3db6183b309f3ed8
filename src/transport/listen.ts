// Address -> listening socket, the daemon's half of dial.ts.
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import { CpuError } from '../errors.js'
import { createVsockServer } from '../native/vsock.js'
import { type Address, formatAddress } from './address.js'
import { listenSerial } from './listen-serial.js'

/** A listening socket; `close` also takes a unix socket's file away. Connections already accepted stay open. */
export interface Listener {
  readonly address: Address
  close(): Promise<void>
}

/** What is known of who connected. */
export interface Peer {
  /** For the log: `192.0.2.7:40000`, `[2001:db8::1]:40000`, `vsock/2:1024`, `unix`, `virtio-serial`. */
  readonly name: string
  /** Without the port: `192.0.2.7`, `2001:db8::1`, `vsock/2`, `unix`, `virtio-serial`. */
  readonly address: string
}

/** Listens on `address` until closed. Throws CpuError ERR_CPU_LISTEN. */
export async function listen(
  address: Address,
  onConnection: (stream: Duplex, peer: Peer) => void,
): Promise<Listener> {
  try {
    switch (address.net) {
      case 'vsock':
        return await listenVsock(address, onConnection)
      case 'unix':
        return await listenNet(address, { path: address.path }, onConnection)
      case 'unix-vsock':
        return await listenNet(address, { path: address.path }, (stream, peer) =>
          acceptHybrid(stream, peer, address.port, onConnection),
        )
      case 'serial': {
        const peer = { name: 'virtio-serial', address: 'virtio-serial' }
        const close = await listenSerial(address.path, stream => onConnection(stream, peer))
        return { address, close: async () => close() }
      }
      case 'tcp':
        return await listenNet(
          address,
          { host: address.host, port: address.port, ipv6Only: address.family === 6 },
          onConnection,
        )
    }
  } catch (cause) {
    const { message } = cause as Error
    throw new CpuError('ERR_CPU_LISTEN', `cannot listen on ${formatAddress(address)}: ${message}`, {
      cause,
      remedy:
        (cause as NodeJS.ErrnoException).code === 'EADDRINUSE'
          ? 'something listens there already: choose another port or path'
          : undefined,
    })
  }
}

async function listenVsock(
  address: Address & { net: 'vsock' },
  onConnection: (stream: Duplex, peer: Peer) => void,
): Promise<Listener> {
  const server = createVsockServer(socket =>
    onConnection(socket, {
      name: `vsock/${socket.remoteCid}:${socket.remotePort}`,
      address: `vsock/${socket.remoteCid}`,
    }),
  )
  server.listen({ cid: address.cid, port: address.port })
  await once(server, 'listening')
  server.on('error', () => {}) // an accept that failed; the server goes on
  return { address, close: () => closeServer(server) }
}

async function listenNet(
  address: Address,
  options: net.ListenOptions,
  onConnection: (stream: Duplex, peer: Peer) => void,
): Promise<Listener> {
  if (options.path !== undefined) await removeStaleSocket(options.path)
  const server = net.createServer({ allowHalfOpen: false, noDelay: true }, socket => {
    const peer = address.net === 'tcp' ? tcpPeer(socket) : { name: 'unix', address: 'unix' }
    onConnection(socket, peer)
  })
  // The socket file, which listen() makes at once, must not be open to others even for a moment.
  const umask = process.umask()
  if (options.path !== undefined) process.umask(0o177)
  try {
    server.listen(options)
  } finally {
    process.umask(umask)
  }
  await once(server, 'listening')
  server.on('error', () => {})
  const bound = server.address()
  const actual =
    address.net === 'tcp' && bound !== null && typeof bound === 'object'
      ? { ...address, port: bound.port }
      : address
  return { address: actual, close: () => closeServer(server) }
}

/** A socket for both families shows IPv4 addresses as `::ffff:192.0.2.7`. One that is reset already has none. */
function tcpPeer({ remoteAddress = 'gone', remotePort = 0 }: net.Socket): Peer {
  const host = remoteAddress.replace(/^::ffff:(?=\d+\.)/, '')
  return { name: host.includes(':') ? `[${host}]:${remotePort}` : `${host}:${remotePort}`, address: host }
}

function closeServer(server: { close(callback: () => void): unknown }): Promise<void> {
  return new Promise(resolve => {
    server.close(() => resolve())
  })
}

/** A socket file whose server is gone would make bind fail. One that is served, or is no socket, is left alone. */
async function removeStaleSocket(path: string): Promise<void> {
  if (fs.lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return
  const probe = net.connect(path)
  const refused = await new Promise<boolean>(resolve => {
    probe.once('connect', () => resolve(false))
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'))
  })
  probe.destroy()
  if (refused) fs.unlinkSync(path)
}

const MAX_REQUEST_BYTES = 64
const REQUEST_TIMEOUT_MS = 10_000

/** The machine monitor's half of hybrid vsock: reads `CONNECT <port>\n` and answers `OK <port>\n`. */
function acceptHybrid(
  stream: Duplex,
  peer: Peer,
  port: number,
  onConnection: (stream: Duplex, peer: Peer) => void,
): void {
  let request = ''
  const timer = setTimeout(() => stream.destroy(), REQUEST_TIMEOUT_MS)
  stream.on('error', () => stream.destroy())
  const onReadable = () => {
    for (let byte: Buffer | null = stream.read(1); byte !== null; byte = stream.read(1)) {
      request += byte.toString('latin1')
      if (request.endsWith('\n') || request.length > MAX_REQUEST_BYTES) break
    }
    if (!request.endsWith('\n') && request.length <= MAX_REQUEST_BYTES) return
    clearTimeout(timer)
    stream.off('readable', onReadable)
    if (request !== `CONNECT ${port}\n`) return void stream.destroy()
    stream.write(`OK ${port}\n`)
    onConnection(stream, peer)
  }
  stream.on('readable', onReadable)
  stream.once('close', () => clearTimeout(timer))
}
