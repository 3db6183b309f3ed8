// /dev/fuse, mounted, and joined to the stream that leads to the file server.

import { openSync } from 'node:fs'
import { binding, check } from './binding.js'

export const FUSE_DEVICE = '/dev/fuse'

/** A new FUSE connection, to be mounted; the caller closes it. Throws Node's error of open(2). */
export function openFuse(): number {
  return openSync(FUSE_DEVICE, 'r+')
}

/** Passes messages between device and stream until one of them ends; then both are closed. */
export class FusePump {
  /** Resolves at the end, when who waited for files has got ENOTCONN. */
  readonly ended: Promise<void>
  readonly #native = new binding.FusePump()

  /** Takes over both descriptors; the stream is a socket. Throws a SystemError. */
  constructor(fuseFd: number, streamFd: number) {
    let onEnd = () => {}
    this.ended = new Promise(resolve => {
      onEnd = resolve
    })
    const end = () => {
      onEnd()
      this.#native.close()
    }
    check(this.#native.open(fuseFd, streamFd, end, onEnd), 'open', 'FUSE pump')
  }

  close(): void {
    this.#native.close()
  }
}
