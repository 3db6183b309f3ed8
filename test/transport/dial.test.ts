import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import type { Address } from '../../src/transport/address.js'
import { dial } from '../../src/transport/dial.js'
import { listen } from '../../src/transport/listen.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const LIMIT = { timeoutMs: 5_000 }

t.test('bytes go both ways over each transport that this machine has by itself', async t => {
  const directory = temporaryDirectory(t)
  const addresses: Address[] = [
    { net: 'tcp', host: '127.0.0.1', port: 0, family: 0 },
    { net: 'tcp', host: '::1', port: 0, family: 6 },
    { net: 'unix', path: path.join(directory, 'u') },
    { net: 'unix-vsock', path: path.join(directory, 'v'), port: 0xffff_0000 },
  ]
  for (const address of addresses) {
    await using server = await listening(address)
    const stream = await dial(server.address, LIMIT)
    stream.write('over')
    t.equal(await text(stream), 'got over', address.net)
  }
})

async function listening(address: Address) {
  const listener = await listen(address, stream => {
    stream.once('data', bytes => stream.end(`got ${bytes}`))
  })
  return { address: listener.address, [Symbol.asyncDispose]: () => listener.close() }
}

t.test('a unix socket is open to its user alone, and goes with its listener', async t => {
  const file = path.join(temporaryDirectory(t), 's')
  const listener = await listen({ net: 'unix', path: file }, stream => stream.destroy())
  t.equal((await import('node:fs')).statSync(file).mode & 0o777, 0o600)
  await listener.close()
  await t.rejects(dial({ net: 'unix', path: file }, LIMIT), { code: 'ERR_CPU_CONNECT', message: /ENOENT/ })
})

t.test('a socket file that nobody serves any more is replaced, one that is served is not', async t => {
  const address: Address = { net: 'unix', path: path.join(temporaryDirectory(t), 's') }
  spawnSync(process.execPath, [
    '-e',
    `require('net').createServer().listen('${address.path}', () => process.kill(process.pid, 'SIGKILL'))`,
  ])
  const listener = await listen(address, stream => stream.destroy())
  t.teardown(() => listener.close())
  await t.rejects(
    listen(address, () => {}),
    { code: 'ERR_CPU_LISTEN', message: /EADDRINUSE/ },
  )
})

t.test('a failure names address and remedy', async t => {
  const closed = net.createServer().listen(0, '127.0.0.1')
  await once(closed, 'listening')
  const { port } = closed.address() as net.AddressInfo
  closed.close()
  await t.rejects(dial({ net: 'tcp', host: '127.0.0.1', port, family: 0 }, LIMIT), {
    message: `cannot connect to 127.0.0.1:${port}: connection refused`,
    remedy: /is cpud running there/,
  })
  await t.rejects(dial({ net: 'tcp', host: 'no-such-host.invalid', port: 1, family: 0 }, LIMIT), {
    message: /no-such-host.invalid:1: (unknown host|getaddrinfo EAI_AGAIN)/,
    remedy: /check the name/,
  })
})

t.test('a hybrid socket that does not know the port says so', async t => {
  const directory = temporaryDirectory(t)
  const listener = await listen({ net: 'unix-vsock', path: path.join(directory, 'v'), port: 1 }, stream =>
    stream.destroy(),
  )
  t.teardown(() => listener.close())
  await t.rejects(dial({ net: 'unix-vsock', path: path.join(directory, 'v'), port: 2 }, LIMIT), {
    message: /no vsock port 2 behind this socket/,
  })
  const mute = net.createServer(() => {}).listen(path.join(directory, 'mute'))
  t.teardown(() => mute.close())
  await t.rejects(
    dial({ net: 'unix-vsock', path: path.join(directory, 'mute'), port: 2 }, { timeoutMs: 100 }),
    {
      message: /no answer in time/,
    },
  )
})

t.test('a dial can be called off', async t => {
  const controller = new AbortController()
  const mute = net.createServer(() => {}).listen(path.join(temporaryDirectory(t), 'mute'))
  t.teardown(() => mute.close())
  const dialling = dial(
    { net: 'unix-vsock', path: mute.address() as string, port: 2 },
    { timeoutMs: 60_000, signal: controller.signal },
  )
  controller.abort()
  await t.rejects(dialling, { name: 'AbortError' })
})
