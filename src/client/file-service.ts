// The client's files as they are offered to the other side, guarded by a nonce each way: through a forward inside the
// SSH connection (PROTOCOL, "Session", steps 3 and 6), and, where the other side is a virtual machine of this very
// host, or this host itself, over a connection of its own, by vsock or a unix socket. The first to bring its nonce is served, no other.
import { randomBytes } from 'node:crypto'
import type ssh2 from 'ssh2'
import { CpuError } from '../errors.js'
import type { CachePolicy } from '../fuse/session.js'
import type { FileProtocol } from '../namespace/file-protocol.js'
import { DIRECT_FILES_VARIABLE, FILE_PROTOCOLS_VARIABLE, NONCE_VARIABLE } from '../ssh/exec-request.js'
import { type Address, formatAddress, isLoopback } from '../transport/address.js'
import type { DirectPeer, FileHostOptions, FileServer } from './file-host.js'
import { FilesInProcess } from './file-in-process.js'
import { FileThread } from './file-thread.js'

export interface OfferedFiles {
  readonly root: string
  readonly readOnly: boolean
  /** What of it is shown, by absolute paths from the root; everything when undefined. */
  readonly shown: readonly string[] | undefined
  /** By which protocols, best first. */
  readonly protocols: readonly FileProtocol[]
  /** What the other side may keep, by FUSE. */
  readonly cachePolicy: CachePolicy
  /** Whether the other side may come past SSH where it can. */
  readonly direct: boolean
  /** Called with each message about files, in one line. */
  readonly trace?: ((line: string) => void) | undefined
}

/** What the other side must be told to come for the files. */
export interface FileOffer {
  /** The forwarded port, for the exec request. */
  readonly port: number
  readonly environment: ReadonlyMap<string, string>
}

/** 32 hexadecimal characters. */
function createNonce(): string {
  return randomBytes(16).toString('hex')
}

export class FileService {
  readonly #address: Address
  readonly #protocols: readonly FileProtocol[]
  readonly #nonce = createNonce()
  readonly #direct: FileHostOptions['direct']
  readonly #server: FileServer

  /** Starts the server, for the machine at `address`, which nobody can reach yet. */
  constructor(address: Address, files: OfferedFiles) {
    const { root, readOnly, shown, protocols, cachePolicy, direct, trace } = files
    this.#address = address
    this.#protocols = protocols
    const Server = process.platform === 'linux' ? FileThread : FilesInProcess
    const from = direct && Server === FileThread ? directPeer(address) : undefined
    this.#direct = from === undefined ? undefined : { from, nonce: createNonce() }
    const options = {
      root,
      readOnly,
      shown,
      protocols,
      cachePolicy,
      forwardNonce: this.#nonce,
      direct: this.#direct,
    }
    this.#server = new Server(options, trace)
  }

  /** Offers the files to the other end of `client`. Throws CpuError ERR_CPU_FILES. */
  async offer(client: ssh2.Client): Promise<FileOffer> {
    client.on('tcp connection', (_details, accept) => this.#server.admit(accept()))
    const [port, direct] = await Promise.all([requestForward(client), this.#server.ready])
    const environment = new Map([
      [NONCE_VARIABLE, this.#nonce],
      [FILE_PROTOCOLS_VARIABLE, this.#protocols.join()],
    ])
    if (this.#direct !== undefined && direct !== undefined)
      environment.set(DIRECT_FILES_VARIABLE, `${direct}:${this.#direct.nonce}`)
    return { port, environment }
  }

  /** Resolves when the other side has come, to the way it took; rejects with ERR_CPU_FILES after `timeoutMs`. */
  async connected(timeoutMs: number): Promise<string> {
    const { by, protocol } = await withLimit(this.#server.taken, timeoutMs)
    const way = by === 'direct' ? `directly from ${formatAddress(this.#address)}` : 'through ssh'
    if (protocol === 'fuse') return `by FUSE, ${way}`
    const why = this.#protocols.includes('fuse') ? ', since it knows of no FUSE or has none' : ''
    return `by 9P, ${way}${why}`
  }

  /** Ends the service. */
  close(): Promise<void> {
    return this.#server.close()
  }
}

/** Who cpud at that address is, if it may be on one physical machine with us; it need not, behind a tunnel. */
function directPeer(address: Address): DirectPeer | undefined {
  switch (address.net) {
    case 'vsock':
      return { cid: address.cid }
    case 'unix-vsock':
      return { vsockSocket: address.path }
    case 'unix':
      return 'here'
    case 'tcp':
      return isLoopback(address.host) ? 'here' : undefined
    case 'serial':
      return undefined
  }
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
