// One command over SSH, with a server that says what no cpud of ours would, or when none would.
import { once } from 'node:events'
import path from 'node:path'
import { PassThrough } from 'node:stream'
import t from 'tap'
import { runSession } from '../../src/client/session.js'
import { batchWrites } from '../../src/ssh/batch-writes.js'
import { sendProgramEnd } from '../../src/ssh/tell-program-end.js'
import { collect, startCpu } from '../fixtures/cpu-command.js'
import { homeWith } from '../fixtures/home.js'
import { startCpud } from '../fixtures/local-cpud.js'
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
    const { exitCode } = await runSession(client, {
      ...{ stdin, stdout, stderr, request },
      terminal: false,
      terminalType: 'dumb',
    })
    t.same([exitCode, String(stdout.read()), String(stderr.read())], [7, 'said', 'complained'])
  }
})

t.test('a signal that ended the program is known, also where an exit code comes with it', async t => {
  const { client, server } = await sshPair(t)
  server.on('session', accept => {
    accept().on('exec', accept => {
      const channel = accept()
      sendProgramEnd(channel, { exitCode: 139, signal: 'SIGSEGV' })
      channel.end()
    })
  })
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()]
  const request = { command: Buffer.from('true'), environment: {} }
  const end = runSession(client, { stdin, stdout, stderr, request, terminal: false, terminalType: 'dumb' })
  t.same(await end, { exitCode: 139, signal: 'SIGSEGV' })
})

t.test('a signal is sent also when stdin has ended', async t => {
  const { client, server } = await sshPair(t)
  const asked = new Promise<string>(resolve => {
    server.on('session', accept => {
      const session = accept()
      // ssh2's server is deaf from then on, and only then, as its client is dumb.
      session.on('eof', () => {
        ;(session as unknown as { _ending: boolean })._ending = false
        process.kill(process.pid, 'SIGUSR2')
      })
      session.on('exec', accept => {
        const channel = accept()
        session.on('signal', (_accept, _reject, { name }) => {
          resolve(name)
          channel.exit(0)
          channel.end()
        })
      })
    })
  })
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()]
  const request = { command: Buffer.from('true'), environment: {} }
  const ended = runSession(client, { stdin, stdout, stderr, request, terminal: false, terminalType: 'dumb' })
  stdin.end()
  t.same([await asked, await ended], ['USR2', { exitCode: 0 }])
})

t.test('a signal reaches a program whose input has ended', async t => {
  const cpud = await startCpud(t, 'unix')
  const script = 'cat; trap "echo got it; exit 9" USR1; echo ready; while :; do sleep 0.1; done'
  const child = startCpu(cpud, ['sh', '-c', script])
  const result = collect(child, { timeoutMs: 20_000 })
  child.stdin!.end()
  await once(child.stdout!, 'data')
  child.kill('SIGUSR1')
  const { code, stdout } = await result
  t.same([code, stdout.toString()], [9, 'ready\ngot it\n'])
})

t.test('a second interrupt leaves, whatever the connection does', async t => {
  const cpud = await startCpud(t, 'unix')
  const child = startCpu(cpud, ['sh', '-c', 'trap "" INT; echo ready; sleep 60'])
  const result = collect(child, { timeoutMs: 20_000 })
  await once(child.stdout!, 'data')
  cpud.daemon.kill('SIGSTOP')
  child.kill('SIGINT')
  await new Promise(resolve => setTimeout(resolve, 200))
  child.kill('SIGINT')
  t.equal((await result).code, 130)
})

t.test('an interrupt leaves while there is no connection yet', async t => {
  const cpud = await startCpud(t, 'unix')
  cpud.daemon.kill('SIGSTOP')
  const child = startCpu(cpud, ['true'], { flags: ['-v'] })
  const result = collect(child, { timeoutMs: 20_000 })
  await once(child.stderr!, 'data')
  child.kill('SIGINT')
  t.equal((await result).signal, 'SIGINT')
})

t.test('a server that falls silent is given up, when ssh_config says', async t => {
  const cpud = await startCpud(t, 'unix')
  const file = (name: string) => path.join(cpud.directory, name)
  const target = (lines: string[]) => ({
    flags: ['-9p=false', '-key', file('key'), '-hk', file('host.pub')],
    host: 'board',
    env: homeWith(t, ['Host board', `HostName unix${cpud.host}`, ...lines]).env,
  })
  const alive = target(['ServerAliveInterval 1', 'ServerAliveCountMax 1'])
  const child = startCpu(alive, ['sh', '-c', 'echo ready; cat'])
  const result = collect(child, { timeoutMs: 20_000 })
  await once(child.stdout!, 'data')
  cpud.daemon.kill('SIGSTOP')
  const { code, stderr } = await result
  t.same([code, stderr], [255, 'cpu: the connection was lost before the command ended\n'])
  const late = await collect(startCpu(target(['ConnectTimeout 1']), ['true']), { timeoutMs: 20_000 })
  t.equal(late.code, 255)
  t.match(late.stderr, /^cpu: no SSH session with unix\S+: no answer in time\n$/)
})
