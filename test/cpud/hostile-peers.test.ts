// Peers that have not logged in, and mean harm or are broken: each is bounded, told of in one line, and noticed by nobody
// else.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import net from 'node:net'
import t from 'tap'
import { generateKey } from '../../src/ssh/generate-key.js'
import { cpu, eventually } from '../fixtures/cpu-command.js'
import {
  closed,
  complaints,
  connectRaw,
  descriptorsOf,
  expectComplaint,
  expectService,
  logIn,
  residentMiB,
} from '../fixtures/hostile-peer.js'
import { startCpud } from '../fixtures/local-cpud.js'

const BANNER = 'SSH-2.0-hostile\r\n'
const HALF_OPEN = 10_000

t.test('garbage instead of a banner', async t => {
  const texts = ['GET / HTTP/1.1\r\n\r\n', '\n', 'SSH-1.5-old\r\n', randomBytes(100_000)]
  for (const text of texts) {
    const target = await startCpud(t, 'unix')
    const socket = connectRaw(t, target).resume()
    socket.write(text)
    await closed(socket)
    await expectComplaint(t, target, /^cpud: unix: no SSH banner came$/)
  }
})

t.test('who has logged in may stay', async t => {
  const target = await startCpud(t, 'unix', { args: ['-login-grace', '2s'] })
  const { code, stdout } = await cpu(target, ['sh', '-c', 'sleep 3; echo still here'])
  t.same([code, stdout.toString()], [0, 'still here\n'])
})

t.test('a banner without end', async t => {
  const target = await startCpud(t, 'unix', { args: ['-login-grace', '2s'] })
  const socket = connectRaw(t, target).resume()
  socket.write('SSH-2.0-')
  const timer = setInterval(() => socket.write('a'), 10)
  t.teardown(() => clearInterval(timer))
  await closed(socket)
  await expectComplaint(t, target, /^cpud: unix: no login within 2s$/)
})

t.test('a banner, and then nothing, half a packet, or nonsense', async t => {
  const cases: [Buffer, RegExp][] = [
    [Buffer.of(), /no login within 2s$/],
    [Buffer.from([0, 0, 0x7f, 0xfc, 4, 20]), /no login within 2s$/],
    [Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]), /: Bad packet length/],
    [randomBytes(40_000).fill(0xaa, 0, 4), /: Bad packet length/],
  ]
  for (const [bytes, complaint] of cases) {
    const target = await startCpud(t, 'unix', { args: ['-login-grace', '2s'] })
    const socket = connectRaw(t, target).resume()
    socket.write(Buffer.concat([Buffer.from(BANNER), bytes]))
    await closed(socket)
    await expectComplaint(t, target, complaint)
  }
})

t.test(`${HALF_OPEN} half-open connections`, async t => {
  const target = await startCpud(t, 'tcp')
  const before = descriptorsOf(target)
  await expectService(t, target)
  const memory = residentMiB(target)
  const open = new Set<net.Socket>()
  t.teardown(() => {
    for (const socket of open) socket.destroy()
  })
  let most = 0
  const flood = (async () => {
    for (let count = 0; count < HALF_OPEN; count++) {
      const socket = net.connect(target.port, '127.0.0.1').on('error', () => {})
      open.add(socket.resume())
      await once(socket, 'connect')
      socket.once('close', () => open.delete(socket))
      if (count % 100 === 0) most = Math.max(most, descriptorsOf(target))
    }
  })()
  await expectService(t, target)
  await flood
  await expectService(t, target)
  t.ok(most - before < 150, `${most} descriptors at most, ${before} before`)
  t.ok(await eventually(() => open.size <= 64), `${open.size} are open still`)
  t.ok(residentMiB(target) - memory < 150, `${memory} MiB before, ${residentMiB(target)} after`)
  t.same(complaints(target), ['cpud: 64 connections have not logged in: closing one for each that comes'])
  for (const socket of open) socket.destroy()
  t.ok(await eventually(() => /\d{4,} connections were closed to make room for others/.test(target.log())))
})

t.test('of those that have not logged in, the ones go that are least far', async t => {
  const target = await startCpud(t, 'unix', { args: ['-max-startups', '3'] })
  const connect = async (text: string) => {
    const socket = connectRaw(t, target)
    socket.write(text)
    await once(socket, 'data') // its banner
    return socket.resume()
  }
  const greeted = await connect(BANNER)
  const silent = await connect('')
  const others = [await connect(BANNER), await connect(BANNER)]
  t.ok(await eventually(() => silent.destroyed), 'the silent one')
  await expectService(t, target)
  t.ok(await eventually(() => greeted.destroyed), 'then the oldest')
  t.same(
    others.map(socket => socket.destroyed),
    [false, false],
  )
})

t.test('keys without end', async t => {
  const target = await startCpud(t, 'unix')
  let offered = 0
  const authHandler = () => {
    offered++
    return { type: 'publickey', username: 'nobody', key: generateKey('guess').private } as const
  }
  await t.rejects(logIn(t, target, { authHandler: authHandler as never }))
  t.equal(offered, 21)
  await expectComplaint(t, target, /^cpud: unix: more than 20 attempts to log in$/)
})

t.test('cpud ends at once, whoever is connected', async t => {
  const target = await startCpud(t, 'unix')
  for (const text of ['', BANNER]) {
    const socket = connectRaw(t, target)
    socket.write(text)
    await once(socket, 'data')
    socket.pause()
  }
  target.daemon.kill('SIGTERM')
  const [code] = await once(target.daemon, 'exit')
  t.equal(code, 0)
})
