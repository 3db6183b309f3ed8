// Sessions on this very machine: over the transport that no guest here has, and with files by what its kernel has.
import t from 'tap'
import { cpu } from '../fixtures/cpu-command.js'
import { startCpud } from '../fixtures/local-cpud.js'
import { sessionSuite } from '../fixtures/session-suite.js'

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
