// Sessions on this very machine, over each transport it has by itself, without files.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import t from 'tap'
import { packageRoot } from '../../src/version.js'
import type { Target } from '../fixtures/cpu-command.js'
import { sessionSuite } from '../fixtures/session-suite.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const CPUD = path.join(packageRoot(), 'dist/bundle/cpud.cjs')

t.test('unix-vsock', async t => {
  sessionSuite(t, await startCpud(t, 'unix-vsock'))
})

async function startCpud(t: Parameters<typeof temporaryDirectory>[0], net: 'unix-vsock'): Promise<Target> {
  const directory = temporaryDirectory(t)
  const file = (name: string) => path.join(directory, name)
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file('key')])
  const daemon = spawn(
    process.execPath,
    [CPUD, '-net', net, '-addr', file('socket'), '-pk', file('key.pub'), '-hk', file('host')],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  )
  t.teardown(async () => {
    daemon.kill('SIGTERM')
    await once(daemon, 'exit')
  })
  const [line] = await once(daemon.stderr, 'data')
  if (!String(line).includes('listening')) throw new Error(String(line))
  daemon.stderr.resume()
  return {
    flags: ['-9p=false', '-net', net, '-key', file('key'), '-hk', file('host.pub')],
    host: file('socket'),
    env: {},
  }
}
