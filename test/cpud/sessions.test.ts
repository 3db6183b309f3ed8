// Sessions on this very machine: over the transport that no guest here has, and with files by what its kernel has.
import t from 'tap'
import { startCpud } from '../fixtures/local-cpud.js'
import { sessionSuite } from '../fixtures/session-suite.js'

t.test('unix-vsock', async t => {
  sessionSuite(t, await startCpud(t, 'unix-vsock'))
})

t.test('files by FUSE', async t => {
  sessionSuite(t, await startCpud(t, 'unix', { files: 'fuse' }))
})
