// /run/initctl, the pipe by which poweroff, reboot and shutdown of sysvinit speak to process 1, and those of systemd to one
// that is not theirs: so the client's own work in a session. The format is that of sysvinit's initreq.h.

import { closeSync, constants, openSync } from 'node:fs'
import { binding, check } from '../native/binding.js'
import { FdStream } from '../native/fd-stream.js'

/** struct init_request: magic, command, runlevel, sleeptime, and 368 bytes that no request of ours has. */
const REQUEST_BYTES = 384
const INIT_MAGIC = 0x03091969
const INIT_CMD_RUNLVL = 1
const requestOf = new Map([
  ['0', 'poweroff'],
  ['6', 'restart'],
] as const)

/** What one request asks for; undefined for other runlevels and for what is no request. */
export function parseInitRequest(bytes: Buffer): 'poweroff' | 'restart' | undefined {
  if (bytes.readInt32LE(0) !== INIT_MAGIC || bytes.readInt32LE(4) !== INIT_CMD_RUNLVL) return undefined
  return requestOf.get(String.fromCharCode(bytes.readInt32LE(8) & 0xff) as '0')
}

/** Makes the pipe and listens on it. Throws a SystemError. */
export function listenInitctl(onRequest: (request: 'poweroff' | 'restart') => void): void {
  const folder = openSync('/run', constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    check(
      binding.fsMknod(folder, 'initctl', constants.S_IFIFO | constants.S_IRUSR | constants.S_IWUSR, 0, 0),
      'mknod',
      '/run/initctl',
    )
  } finally {
    closeSync(folder)
  }
  // Open for writing too, so that it does not end with the first who writes.
  const fd = openSync('/run/initctl', constants.O_RDWR | constants.O_NONBLOCK)
  const stream = new FdStream(fd, { writable: false, peer: '/run/initctl' })
  let waiting = Buffer.alloc(0)
  // The signals are still there.
  stream.on('error', () => {})
  stream.on('data', (chunk: Buffer) => {
    waiting = Buffer.concat([waiting, chunk])
    for (; waiting.length >= REQUEST_BYTES; waiting = waiting.subarray(REQUEST_BYTES)) {
      const request = parseInitRequest(waiting)
      if (request !== undefined) onRequest(request)
    }
  })
}
