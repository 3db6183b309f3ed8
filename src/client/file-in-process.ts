// The file server in the main thread, where a stream cannot be handed to another: everywhere but on Linux.
import type { Duplex } from 'node:stream'
import type { FileProtocol } from '../namespace/file-protocol.js'
import {
  cannotServe,
  FileHost,
  type FileHostOptions,
  type FileServer,
  type FileWay,
  refusedProtocol,
} from './file-host.js'

export class FilesInProcess implements FileServer {
  readonly ready: Promise<undefined>
  readonly taken: Promise<FileWay>
  readonly #host: FileHost | undefined

  constructor(options: FileHostOptions, trace?: (line: string) => void) {
    let taken: (way: FileWay) => void = () => {}
    let fail: (error: Error) => void = () => {}
    this.taken = new Promise((resolve, reject) => {
      taken = resolve
      fail = reject
    })
    this.taken.catch(() => {}) // seen by who waits
    try {
      const refused = (protocol: FileProtocol) => fail(refusedProtocol(options, protocol))
      this.#host = new FileHost(options, { taken, refused, trace })
      this.ready = Promise.resolve(undefined)
    } catch (error) {
      this.ready = Promise.reject(cannotServe(options, (error as Error).message))
      this.ready.catch(() => {}) // seen by who waits
    }
  }

  admit(stream: Duplex): void {
    this.#host?.admit(stream)
  }

  async close(): Promise<void> {
    await this.#host?.close()
  }
}
