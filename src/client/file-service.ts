// The client's files as they are offered to the other side, guarded by a nonce each way: through a forward inside the
// SSH connection (PROTOCOL, "Session", steps 3 and 6), and, where the other side is a virtual machine of this very
// host, over a vsock connection of its own. The first to bring its nonce is served, no other.
import { randomBytes } from 'node:crypto'
import type ssh2 from 'ssh2'
import { CpuError } from '../errors.js'
import { DIRECT_FILES_VARIABLE, NONCE_VARIABLE } from '../ssh/exec-request.js'
import { type Address, formatAddress } from '../transport/address.js'
import { FileThread } from './file-thread.js'

export interface OfferedFiles {
  readonly root: string
  readonly readOnly: boolean
  /** Whether the other side may come past SSH where it can. */
  readonly direct: boolean
  /** Called with each 9P message in one line. */
  readonly trace?: ((line: string) => void) | undefined
}

/** What the other side must be told to come for the files. */
export interface FileOffer {
  /** The forwarded port, for the exec request. */
  readonly port: number
  readonly environment: ReadonlyMap<string, string>
}

/** 32 hexadecimal characters. */
export function createNonce(): string {
  return randomBytes(16).toString('hex')
}

export class FileService {
  readonly #address: Address
  readonly #nonce = createNonce()
  readonly #direct: { cid: number; nonce: string } | undefined
  readonly #thread: FileThread

  /** Starts the server, for the machine at `address`, which nobody can reach yet. */
  constructor(address: Address, { root, readOnly, direct, trace }: OfferedFiles) {
    this.#address = address
    this.#direct = direct && address.net === 'vsock' ? { cid: address.cid, nonce: createNonce() } : undefined
    this.#thread = new FileThread({ root, readOnly, forwardNonce: this.#nonce, direct: this.#direct }, trace)
  }

  /** Offers the files to the other end of `client`. Throws CpuError ERR_CPU_FILES. */
  async offer(client: ssh2.Client): Promise<FileOffer> {
    client.on('tcp connection', (_details, accept) => this.#thread.admit(accept()))
    const [port, directPort] = await Promise.all([requestForward(client), this.#thread.ready])
    const environment = new Map([[NONCE_VARIABLE, this.#nonce]])
    if (this.#direct !== undefined && directPort !== undefined)
      environment.set(DIRECT_FILES_VARIABLE, `${directPort}:${this.#direct.nonce}`)
    return { port, environment }
  }

  /** Resolves when the other side has come, to the way it took; rejects with ERR_CPU_FILES after `timeoutMs`. */
  async connected(timeoutMs: number): Promise<string> {
    const way = await withLimit(this.#thread.taken, timeoutMs)
    return way === 'direct' ? `directly from ${formatAddress(this.#address)}` : 'through ssh'
  }

  /** Ends the service. */
  close(): Promise<void> {
    return this.#thread.close()
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
