// The thread of the file server: a FileHost, told what to do by file-thread.ts. Terminal and SSH have the main
// thread, so that neither waits for a local disk, nor files for a busy terminal.
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import type { FileProtocol } from '../namespace/file-protocol.js'
import { FdStream } from '../native/fd-stream.js'
import type { DirectFiles } from '../ssh/exec-request.js'
import { FileHost, type FileHostOptions, type FileWay } from './file-host.js'

/** How the thread is started. */
export interface FileWorkerData extends FileHostOptions {
  /** Whether each message is told. */
  readonly traces: boolean
}

/** A connected socket to take over, or the end. */
export type ToFileWorker = { readonly fd: number } | 'close'

export type FromFileWorker =
  | { readonly kind: 'ready'; readonly direct: DirectFiles['at'] | undefined }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'taken'; readonly way: FileWay }
  | { readonly kind: 'refused'; readonly protocol: FileProtocol }
  | { readonly kind: 'trace'; readonly line: string }

async function run(port: MessagePort, { traces, ...options }: FileWorkerData): Promise<void> {
  const tell = (message: FromFileWorker) => port.postMessage(message)
  const trace = traces ? (line: string) => tell({ kind: 'trace', line }) : undefined
  const host = new FileHost(options, {
    taken: way => tell({ kind: 'taken', way }),
    refused: protocol => tell({ kind: 'refused', protocol }),
    trace,
  })
  port.on('message', (message: ToFileWorker) => {
    if (message === 'close') void host.close().finally(() => port.close())
    else host.admit(new FdStream(message.fd))
  })
  tell({ kind: 'ready', direct: await host.listen() })
}

if (parentPort !== null) {
  const port = parentPort
  run(port, workerData as FileWorkerData).catch((error: Error) => {
    port.postMessage({ kind: 'failed', message: error.message } satisfies FromFileWorker)
    port.close()
  })
}
