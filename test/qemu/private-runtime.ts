// A runtime directory of a test's own, so that its machines have nothing to do with anybody else's. In /tmp, since
// the paths of unix sockets must be short.

import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'

interface Teardown {
  teardown(handler: () => void): void
}

/** Sets XDG_RUNTIME_DIR until the test ends; returns the directory of the machines. */
export function privateRuntime(t: Teardown): string {
  const before = process.env['XDG_RUNTIME_DIR']
  const directory = mkdtempSync('/tmp/vm-test-')
  process.env['XDG_RUNTIME_DIR'] = directory
  t.teardown(() => {
    if (before === undefined) delete process.env['XDG_RUNTIME_DIR']
    else process.env['XDG_RUNTIME_DIR'] = before
    rmSync(directory, { recursive: true, force: true })
  })
  return join(directory, 'cpu-harness')
}
