// The client's file server as the other side reaches it, guarded by a nonce each way: through a forward inside the
// SSH connection (PROTOCOL, "Session", steps 3 and 6), and, where the other side is a virtual machine of this very
// host, over a vsock connection of its own. The first to bring its nonce is served, no other.
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import type { Duplex } from 'node:stream'
import type ssh2 from 'ssh2'
import { CpuError } from '../errors.js'
import { VMADDR_CID_ANY, VMADDR_PORT_ANY } from '../linux/vsock.js'
import { createVsockServer } from '../native/vsock.js'
import { DIRECT_FILES_VARIABLE, NONCE_VARIABLE } from '../ssh/exec-request.js'
import { type Address, formatAddress } from '../transport/address.js'

export interface FileService {
  /** The forwarded port, to be told in the exec request. */
  readonly port: number
  /** Variables that tell the other side how to come for the files. */
  readonly environment: ReadonlyMap<string, string>
  /** Resolves when the other side has come, to the way it took; rejects with ERR_CPU_FILES after `timeoutMs`. */
  connected(timeoutMs: number): Promise<string>
}

/** 32 hexadecimal characters. */
export function createNonce(): string {
  return randomBytes(16).toString('hex')
}

/** Offers files to the other end of `client`, which is at `address`. Throws CpuError ERR_CPU_FILES. */
export async function offerFiles(
  client: ssh2.Client,
  address: Address,
  serve: (stream: Duplex) => Promise<void>,
): Promise<FileService> {
  const door = new Door(serve)
  const nonce = createNonce()
  client.on('tcp connection', (_details, accept, reject) => {
    if (door.isTaken) reject()
    else door.open(accept(), nonce, 'through ssh')
  })
  const environment = new Map([[NONCE_VARIABLE, nonce]])
  const [port, direct] = await Promise.all([requestForward(client), listenDirectly(client, address, door)])
  if (direct !== undefined) environment.set(DIRECT_FILES_VARIABLE, direct)
  return { port, environment, connected: timeoutMs => withLimit(door.taken, timeoutMs) }
}

/** Lets one stream in: the first that brings its nonce. */
class Door {
  readonly taken: Promise<string>
  isTaken = false
  readonly #serve: (stream: Duplex) => Promise<void>
  #onTaken: (way: string) => void = () => {}

  constructor(serve: (stream: Duplex) => Promise<void>) {
    this.#serve = serve
    this.taken = new Promise(resolve => {
      this.#onTaken = resolve
    })
  }

  open(stream: Duplex, nonce: string, way: string): void {
    stream.on('error', () => stream.destroy())
    readNonce(stream, nonce).then(
      () => {
        if (this.isTaken) return void stream.destroy()
        this.isTaken = true
        this.#onTaken(way)
        this.#serve(stream).catch(() => stream.destroy())
      },
      () => stream.destroy(),
    )
  }
}

/** Waits on vsock for the machine that `client` is connected to; resolves to what tells it where. */
async function listenDirectly(
  client: ssh2.Client,
  address: Address,
  door: Door,
): Promise<string | undefined> {
  if (address.net !== 'vsock') return undefined
  const nonce = createNonce()
  const server = createVsockServer(socket => {
    if (socket.remoteCid !== address.cid || door.isTaken) socket.destroy()
    else door.open(socket, nonce, `directly from ${formatAddress(address)}`)
  })
  const close = () => server.close()
  client.once('close', close)
  void door.taken.then(close)
  try {
    server.listen({ cid: VMADDR_CID_ANY, port: VMADDR_PORT_ANY })
    await once(server, 'listening')
  } catch {
    return undefined // the forward is there as well
  }
  server.on('error', () => {})
  return `${server.address()?.port}:${nonce}`
}

const FORWARD_HOSTS = ['127.0.0.1', '::1']

async function requestForward(client: ssh2.Client): Promise<number> {
  let failure: unknown
  for (const host of FORWARD_HOSTS) {
    try {
      return await new Promise<number>((resolve, reject) => {
        client.forwardIn(host, 0, (error, port) => (error === undefined ? resolve(port) : reject(error)))
      })
    } catch (error) {
      failure = error
    }
  }
  throw new CpuError('ERR_CPU_FILES', 'the server refuses a way back for the files', {
    cause: failure,
    remedy: 'it must allow TCP forwarding; without files: -9p=false',
  })
}

const NONCE_TIMEOUT_MS = 10_000

/** Reads exactly the nonce from `stream`, leaving what follows; rejects on anything else. */
function readNonce(stream: Duplex, nonce: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => settle(new Error('no nonce came')), NONCE_TIMEOUT_MS)
    const settle = (error?: Error) => {
      clearTimeout(timer)
      stream.off('readable', onReadable).off('end', onEnd)
      if (error === undefined) resolve()
      else reject(error)
    }
    const onEnd = () => settle(new Error('closed before the nonce'))
    const onReadable = () => {
      const bytes = stream.read(nonce.length) as Buffer | null
      if (bytes === null) return
      const right = bytes.length === nonce.length && timingSafeEqual(bytes, Buffer.from(nonce))
      settle(right ? undefined : new Error('wrong nonce'))
    }
    stream.on('readable', onReadable).once('end', onEnd)
  })
}

async function withLimit<T>(arrival: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(
        new CpuError(
          'ERR_CPU_FILES',
          `the other side did not come for the files within ${timeoutMs / 1000} s`,
          {
            remedy: 'allow it more with -timeout9p 60s, or see what cpud says there',
          },
        ),
      )
    }, timeoutMs)
  })
  try {
    return await Promise.race([arrival, limit])
  } finally {
    clearTimeout(timer)
  }
}
