// One command over SSH, with a server that says what no cpud of ours would, or when none would.
import { PassThrough } from 'node:stream'
import t from 'tap'
import { runSession } from '../../src/client/session.js'
import { batchWrites } from '../../src/ssh/batch-writes.js'
import { sshPair } from '../fixtures/ssh-pair.js'

t.test('all that a short command has to say can come with the answer to its request', async t => {
  const { client, server, socket } = await sshPair(t)
  batchWrites(socket)
  server.on('session', accept => {
    accept().on('exec', accept => {
      const channel = accept()
      channel.write('said')
      channel.stderr.write('complained')
      channel.exit(7)
      channel.end()
    })
  })
  for (let round = 0; round < 20; round++) {
    const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()]
    const request = { command: Buffer.from('true'), environment: {} }
    const exitCode = await runSession(client, {
      ...{ stdin, stdout, stderr, request },
      terminal: false,
      terminalType: 'dumb',
    })
    t.same([exitCode, String(stdout.read()), String(stderr.read())], [7, 'said', 'complained'])
  }
})
