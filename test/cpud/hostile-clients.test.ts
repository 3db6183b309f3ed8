// Clients that have logged in, and mean harm or are broken: what they cause is theirs alone.
import fs from 'node:fs'
import type ssh2 from 'ssh2'
import t from 'tap'
import { cpu, eventually } from '../fixtures/cpu-command.js'
import {
  type Client,
  closed,
  collectChannel,
  complaints,
  descriptorsOf,
  exec,
  expectComplaint,
  expectService,
  logIn,
  numberOf,
  residentMiB,
  run,
} from '../fixtures/hostile-peer.js'
import { startCpud } from '../fixtures/local-cpud.js'

const NONCE = '0'.repeat(32)
const MiB = 1024 * 1024

t.test('no nonce, no forward, a way back that is refused', async t => {
  const target = await startCpud(t, 'unix')
  const client = await logIn(t, target)
  const port = await new Promise<number>((resolve, reject) => {
    client.forwardIn('127.0.0.1', 0, (error, bound) => (error ? reject(error) : resolve(bound)))
  })
  client.on('tcp connection', (_details, _accept, reject) => reject())
  const cases: [command: string, env: NodeJS.ProcessEnv, said: RegExp][] = [
    [`-port9p=${port} true`, {}, /^cpud: the client sent no CPUNONCE/],
    [
      '-port9p=9 true',
      { CPUNONCE: NONCE },
      /^cpud: the command names port 9 for the files, which was not forwarded/,
    ],
    [`-port9p=${port} true`, { CPUNONCE: NONCE }, /^cpud: the client refuses the connection to its files/],
    ["echo 'a", {}, /^cpud: cannot split the command/],
  ]
  for (const [command, env, said] of cases) {
    const { stderr, code } = await run(client, command, { env })
    t.equal(code, 255, command)
    t.match(stderr, said)
  }
  await expectService(t, target)
})

t.test('a way back that is never answered', async t => {
  const target = await startCpud(t, 'unix')
  const client = await logIn(t, target)
  const port = await new Promise<number>((resolve, reject) => {
    client.forwardIn('127.0.0.1', 0, (error, bound) => (error ? reject(error) : resolve(bound)))
  })
  let late: (() => ssh2.ClientChannel) | undefined
  client.on('tcp connection', (_details, accept) => {
    late = accept
  })
  const { stderr, code } = await run(client, `-port9p=${port} true`, { env: { CPUNONCE: NONCE } })
  t.equal(code, 255)
  t.match(stderr, /^cpud: the client did not answer within \d+ s when asked for its files/)
  const channel = late?.()
  channel?.on('error', () => {}).resume()
  await new Promise(resolve => channel?.once('close', resolve))
  await expectService(t, target)
})

t.test('two sessions by one forward, and files that never answer', async t => {
  const target = await startCpud(t, 'unix')
  const client = await logIn(t, target)
  const port = await new Promise<number>((resolve, reject) => {
    client.forwardIn('127.0.0.1', 0, (error, bound) => (error ? reject(error) : resolve(bound)))
  })
  const nonces: string[] = []
  client.on('tcp connection', (_details, accept) => {
    accept().once('data', (data: Buffer) => nonces.push(data.toString('latin1', 0, 32)))
  })
  const env = { CPUNONCE: NONCE, CPU_FILE_PROTOCOLS: 'fuse' }
  const command = `-port9p=${port} ls -l /tmp/cpu`
  for (let count = 0; count < 2; count++) await exec(client, command, { env })
  t.ok(await eventually(() => nonces.length === 2), 'cpud comes for each session')
  t.same(new Set(nonces), new Set([NONCE]))
  await expectService(t, target)
  client.destroy()
  t.ok(await eventually(() => processesBelow(target.daemon.pid!) === 0), 'nothing waits for the files')
})

t.test('an environment without end', async t => {
  const target = await startCpud(t, 'unix')
  const client = await logIn(t, target)
  const memory = residentMiB(target)
  const number = await openSession(client)
  const over = closed(client)
  for (let sent = 0; sent < 30 * MiB; sent += 30_000)
    client._protocol.env(number, `V${sent}`, 'x'.repeat(30_000), false)
  await over
  await expectComplaint(t, target, /^cpud: unix: sends too large an environment$/)
  t.ok(residentMiB(target) - memory < 150, `${memory} MiB before, ${residentMiB(target)} after`)
})

t.test('a hundred thousand small variables are more than a program can have, or not', async t => {
  const target = await startCpud(t, 'unix')
  const client = await logIn(t, target)
  const env = Object.fromEntries(Array.from({ length: 100_000 }, (_, index) => [`V${index}`, '1']))
  const { stdout, stderr, code } = await run(client, 'env', { env })
  if (code === 0) t.match(stdout, /^V99999=1$/m)
  else t.match([code, stderr], [126, /E2BIG/])
  await expectService(t, target)
})

t.test('a command of 1 MiB', async t => {
  const target = await startCpud(t, 'unix')
  const client = await logIn(t, target)
  const number = await openSession(client)
  const over = closed(client)
  client._protocol.exec(number, `echo ${'x'.repeat(MiB)}`, true)
  await over
  await expectComplaint(t, target, /^cpud: unix: Bad packet length: \d+$/)
  const { code, stderr } = await cpu(target, ['echo', 'x'.repeat(100_000)])
  t.same([code, stderr], [0, ''], 'in our own way 100 KB go')
})

t.test('a client that stops reading, with a window of gigabytes', async t => {
  const target = await startCpud(t, 'unix')
  const client = await logIn(t, target)
  const memory = residentMiB(target)
  for (const command of ['yes', 'sh -c "yes >&2"']) {
    const channel = await exec(client, command)
    client._protocol.channelWindowAdjust(numberOf(channel), 0x7000_0000)
  }
  client._sock.pause()
  await new Promise(resolve => setTimeout(resolve, 3000))
  t.ok(residentMiB(target) - memory < 100, `${memory} MiB before, ${residentMiB(target)} after`)
  await expectService(t, target)
  client.destroy()
  t.ok(await eventually(() => processesBelow(target.daemon.pid!) === 0), 'its programs are gone')
})

t.test('a client that asks, and does not read the answers', async t => {
  const target = await startCpud(t, 'unix')
  const client = await logIn(t, target)
  const over = closed(client)
  client._sock.pause()
  while (!client._sock.destroyed && complaints(target).length === 0) {
    for (let count = 0; count < 1000; count++) client._protocol.ping()
    await new Promise(resolve => setImmediate(resolve))
  }
  await expectComplaint(t, target, /^cpud: unix: asks and does not read the answers$/)
  client._sock.resume()
  await over
})

t.test('a client that sends more than the window', async t => {
  const target = await startCpud(t, 'unix')
  const client = await logIn(t, target)
  const memory = residentMiB(target)
  const channel = await exec(client, 'sleep 1000')
  const over = closed(client)
  for (let sent = 0; sent < 100 * MiB && !client._sock.destroyed; sent += 30_000) {
    client._protocol.channelData(numberOf(channel), Buffer.alloc(30_000))
    if (client._sock.writableNeedDrain) await Promise.race([drained(client), over])
  }
  await over
  await expectComplaint(t, target, /^cpud: unix: sends more than it was allowed to$/)
  t.ok(residentMiB(target) - memory < 100, `${memory} MiB before, ${residentMiB(target)} after`)
})

t.test('packets of no length', async t => {
  const target = await startCpud(t, 'unix')
  const client = await logIn(t, target)
  const open = client._protocol.session.bind(client._protocol)
  client._protocol.session = (channel, window) => open(channel, window, 0)
  const over = closed(client)
  void exec(client, 'yes').catch(() => {})
  await over
  await expectComplaint(t, target, /^cpud: unix: takes packets of no length$/)
})

t.test('sessions without end', async t => {
  const target = await startCpud(t, 'unix')
  const client = await logIn(t, target)
  const attempts = await Promise.allSettled(Array.from({ length: 300 }, () => exec(client, 'sleep 1000')))
  t.equal(attempts.filter(({ status }) => status === 'fulfilled').length, 64)
  await expectService(t, target)
  client.destroy()
  t.ok(await eventually(() => processesBelow(target.daemon.pid!) === 0), 'none is left')
  t.same(complaints(target), [])
})

t.test('sessions on which nothing is run', async t => {
  const target = await startCpud(t, 'unix')
  const client = await logIn(t, target)
  for (let count = 0; count < 200; count++) {
    const number = await openSession(client)
    ;(client as unknown as { _protocol: { channelClose(channel: number): void } })._protocol.channelClose(
      number,
    )
  }
  t.match(await run(client, 'echo on'), { stdout: 'on\n', code: 0 })
  await openSession(client)
  client.destroy() // which once ended the daemon
  await expectService(t, target)
  t.same(complaints(target), [])
})

t.test('a second command in a session', async t => {
  const target = await startCpud(t, 'unix')
  const client = await logIn(t, target)
  const channel = await exec(client, 'sh -c "read line; echo $line"')
  client._protocol.exec(numberOf(channel), 'echo second', true)
  channel.end('first\n')
  t.match(await collectChannel(channel), { stdout: 'first\n', code: 0 })
  await expectService(t, target)
})

t.test('many sessions in one connection, each by itself', async t => {
  const target = await startCpud(t, 'unix')
  const before = descriptorsOf(target)
  const client = await logIn(t, target)
  const results = await Promise.all(
    Array.from({ length: 40 }, (_, index) => run(client, `sh -c 'echo ${index}; exit ${index}'`)),
  )
  t.same(
    results.map(({ stdout, code }) => [stdout, code]),
    results.map((_, index) => [`${index}\n`, index]),
  )
  client.end()
  t.ok(await eventually(() => descriptorsOf(target) === before), 'no descriptor is left')
})

t.test('stdout and stderr that both wait for a slow reader go on', async t => {
  const target = await startCpud(t, 'unix')
  const client = await logIn(t, target)
  const bytes = 8 * MiB
  const channel = await exec(
    client,
    `sh -c 'head -c ${bytes} /dev/zero >&2 & head -c ${bytes} /dev/zero; wait'`,
  )
  await new Promise(resolve => setTimeout(resolve, 1000))
  const { stdout, stderr, code } = await collectChannel(channel)
  t.same([stdout.length, stderr.length, code], [bytes, bytes, 0])
})

/** Opens a session and runs nothing on it. Resolves to its number at the other side. */
function openSession(client: ssh2.Client): Promise<number> {
  const { _chanMgr, _protocol } = client as unknown as {
    _chanMgr: { add(callback: (error: Error | undefined, channel: ssh2.ClientChannel) => void): number }
    _protocol: { session(channel: number, window: number, packetSize: number): void }
  }
  return new Promise((resolve, reject) => {
    const opened = (error: Error | undefined, channel: ssh2.ClientChannel) =>
      error ? reject(error) : resolve(numberOf(channel))
    opened.type = 'session'
    _protocol.session(_chanMgr.add(opened), 2 * MiB, 32 * 1024)
  })
}

function drained({ _sock }: Client): Promise<void> {
  return new Promise(resolve => {
    _sock.once('drain', () => resolve())
  })
}

function processesBelow(pid: number): number {
  return fs
    .readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')
    .split(' ')
    .filter(word => word !== '').length
}
