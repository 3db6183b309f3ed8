// A cache directory of a test's own, with the snapshots that it makes; kernels and images are those of all tests.

import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDirectory } from '../../qemu/cache.js'

interface Teardown {
  teardown(handler: () => void): void
}

/** Sets XDG_CACHE_HOME until the test ends. */
export function privateSnapshots(t: Teardown): void {
  const before = process.env['XDG_CACHE_HOME']
  const shared = cacheDirectory()
  const home = mkdtempSync('/tmp/vm-cache-')
  process.env['XDG_CACHE_HOME'] = home
  mkdirSync(cacheDirectory(), { mode: 0o700 })
  for (const name of readdirSync(shared))
    if (name !== 'snapshots') symlinkSync(join(shared, name), join(cacheDirectory(), name))
  t.teardown(() => {
    if (before === undefined) delete process.env['XDG_CACHE_HOME']
    else process.env['XDG_CACHE_HOME'] = before
    rmSync(home, { recursive: true, force: true })
  })
}
