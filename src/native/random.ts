// Makes what is random here depend on bytes that no copy of this machine has. Called by PID 1 of a guest: each of those
// that go on from one snapshot would else draw the same numbers.

import { closeSync, openSync } from 'node:fs'
import { binding, check } from './binding.js'

const DEVICE = '/dev/urandom'

/**
 * The kernel's generator first, and then OpenSSL's of all threads of this process, which have been seeded from it before.
 * V8's own (Math.random(), hash seeds) stay as they are. Throws SystemError; ENOSYS where OpenSSL cannot be had.
 */
export function reseedRandom(seed: Uint8Array): void {
  const fd = openSync(DEVICE, 'w')
  try {
    check(binding.reseedKernel(fd, seed), 'ioctl', DEVICE)
  } finally {
    closeSync(fd)
  }
  check(binding.reseedOpenSsl(seed), 'RAND_seed', 'OpenSSL')
}
