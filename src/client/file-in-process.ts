// The file server in the main thread, where a stream cannot be handed to another: everywhere but on Linux.
import type { Duplex } from 'node:stream'
import { cannotServe, FileHost, type FileHostOptions, type FileServer, type FileWay } from './file-host.js'

export class FilesInProcess implements FileServer {
  readonly ready: Promise<undefined>
  readonly taken: Promise<FileWay>
  readonly #host: FileHost | undefined

  constructor(options: FileHostOptions, trace?: (line: string) => void) {
    let onTaken: (way: FileWay) => void = () => {}
    this.taken = new Promise(resolve => {
      onTaken = resolve
    })
    try {
      this.#host = new FileHost(options, { taken: way => onTaken(way), trace })
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
