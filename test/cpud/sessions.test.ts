// Sessions on this very machine: over the transport that no guest here has, and with files by what its kernel has.
import { once } from 'node:events'
import type ssh2 from 'ssh2'
import t from 'tap'
import { openLocalTree } from '../../src/fs/local-tree.js'
import { serveFuse } from '../../src/fuse/serve.js'
import { cpu } from '../fixtures/cpu-command.js'
import { collectChannel, exec, logIn, run } from '../fixtures/hostile-peer.js'
import { startCpud } from '../fixtures/local-cpud.js'
import { sessionSuite } from '../fixtures/session-suite.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

t.test('unix-vsock', async t => {
  sessionSuite(t, await startCpud(t, 'unix-vsock'))
})

t.test('files by FUSE', async t => {
  sessionSuite(t, await startCpud(t, 'unix', { files: 'fuse' }))
})

t.test(
  'files past ssh where both sides are on one machine, and through it when that is asked for',
  async t => {
    const cpud = await startCpud(t, 'unix', { files: 'fuse' })
    const way = async (...flags: string[]) => {
      const { code, stderr } = await cpu(cpud, ['true'], { flags: ['-v', ...flags] })
      t.equal(code, 0)
      return /has our files, (.*)/.exec(stderr)?.[1]
    }
    t.equal(await way(), `by FUSE, directly from unix${cpud.host}`)
    t.equal(await way('-direct=false'), 'by FUSE, through ssh')
  },
)

t.test('a program that kills its supervisor, and leaves others behind that have its output open', async t => {
  const cpud = await startCpud(t, 'unix')
  const script = 'set -m; (sleep 100 & echo $!); kill -KILL $PPID; sleep 100'
  const { code, stdout, stderr } = await cpu(cpud, ['bash', '-c', script], { timeoutMs: 60_000 })
  process.kill(Number(stdout.toString()), 'SIGKILL')
  t.match([code, stderr], [137, /^cpud: supervisor killed/])
})

t.test('a signal that comes before the program can start, since its files are not there yet', async t => {
  const nonce = '0'.repeat(32)
  const client = await logIn(t, await startCpud(t, 'unix'))
  const port = await new Promise<number>((resolve, reject) => {
    client.forwardIn('127.0.0.1', 0, (error, bound) => (error ? reject(error) : resolve(bound)))
  })
  const asked = once(client, 'tcp connection')
  const env = { CPUNONCE: nonce, CPU_FILE_PROTOCOLS: 'fuse' }
  const channel = await exec(client, `-port9p=${port} sleep 20`, { env })
  const outcome = collectChannel(channel)
  const [, accept] = (await asked) as [unknown, () => ssh2.ClientChannel]
  channel.signal('TERM')
  await run(client, 'true') // the signal is there before it
  const files = accept()
  while (files.readableLength < nonce.length) await once(files, 'readable')
  t.equal(String(files.read(nonce.length)), nonce)
  void serveFuse(files, openLocalTree(temporaryDirectory(t)))
  t.strictSame(await outcome, { stdout: '', stderr: '', code: 143 })
})
