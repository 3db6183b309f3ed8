// The client's file server as the other side reaches it: a forward inside the SSH connection, guarded by a nonce.
// PROTOCOL, "Session", steps 3 and 6.
import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type ssh2 from 'ssh2'
import { CpuError } from '../errors.js'

export interface FileService {
  /** The forwarded port, to be told in the exec request. */
  readonly port: number
  /** 32 hexadecimal characters, to be sent as CPUNONCE. */
  readonly nonce: string
  /** Resolves when the other side has come for the files; rejects with ERR_CPU_FILES after `timeoutMs`. */
  connected(timeoutMs: number): Promise<void>
}

const FORWARD_HOSTS = ['127.0.0.1', '::1']

/** Offers files over `client`; `serve` gets the one connection that brings the nonce. Throws CpuError ERR_CPU_FILES. */
export async function offerFiles(
  client: ssh2.Client,
  serve: (stream: Duplex) => Promise<void>,
): Promise<FileService> {
  const nonce = randomBytes(16).toString('hex')
  let arrived = () => {}
  const arrival = new Promise<void>(resolve => {
    arrived = resolve
  })
  let taken = false
  client.on('tcp connection', (_details, accept, reject) => {
    if (taken) return reject()
    const stream = accept()
    stream.on('error', () => stream.destroy())
    readNonce(stream, nonce).then(
      () => {
        if (taken) return void stream.destroy()
        taken = true
        arrived()
        serve(stream).catch(() => stream.destroy())
      },
      () => stream.destroy(),
    )
  })
  const port = await requestForward(client)
  return { port, nonce, connected: timeoutMs => withLimit(arrival, timeoutMs) }
}

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

async function withLimit(arrival: Promise<void>, timeoutMs: number): Promise<void> {
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
    await Promise.race([arrival, limit])
  } finally {
    clearTimeout(timer)
  }
}
