// The file server's thread as the rest of the client sees it: started at once, told of streams, ended with the session.
import type { Duplex } from 'node:stream'
import { setTimeout } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { socketPair } from '../native/fd-stream.js'
import { exitNow } from '../native/system.js'
import { joinChannel } from '../ssh/join.js'
import { moduleUrl } from '../version.js'
import {
  cannotServe,
  type FileHostOptions,
  type FileServer,
  type FileWay,
  refusedProtocol,
} from './file-host.js'
import type { FileWorkerData, FromFileWorker, ToFileWorker } from './file-worker.js'

const CLOSE_TIMEOUT_MS = 2000

export class FileThread implements FileServer {
  readonly ready: FileServer['ready']
  readonly taken: Promise<FileWay>
  readonly #worker: Worker
  readonly #exited: Promise<unknown>

  constructor(options: FileHostOptions, trace?: (line: string) => void) {
    const workerData: FileWorkerData = { ...options, traces: trace !== undefined }
    const worker = new Worker(moduleUrl(import.meta.url, 'file-worker'), { workerData })
    this.#worker = worker
    this.#exited = new Promise(resolve => worker.once('exit', resolve))
    const failures = new AbortController()
    const fail = (cause: string) => failures.abort(cannotServe(options, cause))
    worker.once('error', error => fail(error.message))
    worker.once('exit', () => fail('its thread has ended'))
    const awaited = <T>(pick: (message: FromFileWorker) => { value: T } | undefined) =>
      new Promise<T>((resolve, reject) => {
        failures.signal.addEventListener('abort', () => reject(failures.signal.reason))
        worker.on('message', (message: FromFileWorker) => {
          const picked = pick(message)
          if (picked !== undefined) resolve(picked.value)
        })
      })
    this.ready = awaited(message => (message.kind === 'ready' ? { value: message.direct } : undefined))
    this.taken = awaited(message => (message.kind === 'taken' ? { value: message.way } : undefined))
    // Whoever waits for them sees the failure; nobody need.
    this.ready.catch(() => {})
    this.taken.catch(() => {})
    worker.on('message', (message: FromFileWorker) => {
      if (message.kind === 'failed') fail(message.message)
      if (message.kind === 'refused') failures.abort(refusedProtocol(options, message.protocol))
      if (message.kind === 'trace') trace?.(message.line)
    })
  }

  /** Joins a stream to the thread by a socket pair. */
  admit(stream: Duplex): void {
    const [ours, theirs] = socketPair()
    joinChannel(stream, ours)
    this.#tell({ fd: theirs })
  }

  /** Ends service and thread. One that hangs in a file system is not waited for, also at the end of the process. */
  async close(): Promise<void> {
    this.#tell('close')
    const late = setTimeout(CLOSE_TIMEOUT_MS, 'late', { ref: false })
    if ((await Promise.race([this.#exited, late])) === 'late') process.once('exit', exitNow)
  }

  #tell(message: ToFileWorker): void {
    this.#worker.postMessage(message)
  }
}
