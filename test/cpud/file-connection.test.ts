import { once } from 'node:events'
import { readlinkSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import path from 'node:path'
import type ssh2 from 'ssh2'
import t from 'tap'
import { connectFiles } from '../../src/cpud/file-connection.js'
import { FdStream } from '../../src/native/fd-stream.js'
import { type SshPair, sshPair } from '../fixtures/ssh-pair.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const NONCE = '0123456789abcdef'
const OFFER = { protocols: ['9p'], direct: undefined } as const

/** What the kernel would get, and the client's end of it. */
async function connected(pair: SshPair) {
  const arrival = once(pair.client, 'tcp connection')
  const connection = connectFiles(pair.server, {
    ...OFFER,
    forward: { host: '127.0.0.1', port: await pair.forward(), nonce: NONCE },
    protocols: ['9p'] as const,
  })
  const [, accept] = (await arrival) as [unknown, () => ssh2.ClientChannel]
  return { channel: accept(), files: await connection }
}

t.test('the nonce goes first, then what the kernel writes', async t => {
  const { channel, files } = await connected(await sshPair(t))
  const kernel = new FdStream(files.toMount().fileConnectionFd!)
  kernel.write('Tversion')
  let got = ''
  while (got.length < NONCE.length + 8) got += String((await once(channel, 'data'))[0])
  t.equal(got, `${NONCE}Tversion`)
  channel.write('Rversion')
  t.equal(String((await once(kernel, 'data'))[0]), 'Rversion')
  t.throws(() => files.toMount(), { message: /taken before/ })
  files.close()
})

t.test('a client that closes ends it for the kernel', async t => {
  const { channel, files } = await connected(await sshPair(t))
  const kernel = new FdStream(files.toMount().fileConnectionFd!)
  kernel.resume()
  channel.destroy()
  await once(kernel, 'end')
  t.equal(kernel.readableEnded, true)
})

t.test('a kernel that unmounts ends it for the client', async t => {
  const { channel, files } = await connected(await sshPair(t))
  new FdStream(files.toMount().fileConnectionFd!).destroy()
  channel.resume()
  await once(channel, 'close')
  t.equal(channel.readableEnded, true)
})

t.test('closed by hand, it ends for both, whether the kernel has its descriptor or not', async t => {
  for (const taken of [true, false]) {
    const { channel, files } = await connected(await sshPair(t))
    const kernel = taken ? new FdStream(files.toMount().fileConnectionFd!) : undefined
    kernel?.on('error', () => {})
    kernel?.resume()
    channel.resume()
    const ends = [once(channel, 'close'), ...(kernel === undefined ? [] : [once(kernel, 'close')])]
    files.close()
    files.close()
    await Promise.all(ends)
    t.equal(channel.readableEnded, true)
  }
})

t.test('past ssh by a unix socket, and through it where there is no such socket', async t => {
  const at = path.join(temporaryDirectory(t), `.files-${'0'.repeat(32)}`)
  const pair = await sshPair(t)
  const offer = {
    ...OFFER,
    direct: { at, nonce: 'direct' },
    forward: { host: '127.0.0.1', port: await pair.forward(), nonce: NONCE },
  }
  const arrival = once(pair.client, 'tcp connection')
  const connection = connectFiles(pair.server, offer)
  const [, accept] = (await arrival) as [unknown, () => ssh2.ClientChannel]
  accept().resume()
  const throughSsh = await connection
  t.equal(throughSsh.isDirect, false)
  throughSsh.close()

  const server = createServer().listen(at)
  t.teardown(() => server.close())
  await once(server, 'listening')
  const [files, [stream]] = await Promise.all([
    connectFiles(pair.server, offer),
    once(server, 'connection') as Promise<[Socket]>,
  ])
  t.equal(files.isDirect, true)
  t.equal(String((await once(stream, 'data'))[0]), 'direct')
  const kernel = new FdStream(files.toMount().fileConnectionFd!)
  kernel.write('Tversion')
  t.equal(String((await once(stream, 'data'))[0]), 'Tversion')
  const ended = once(stream.resume(), 'end')
  files.close()
  await ended
  kernel.destroy()
})

t.test('a client that refuses is told of', async t => {
  const { client, server, forward } = await sshPair(t)
  client.on('tcp connection', (_details, _accept, reject) => reject())
  const offer = {
    forward: { host: '127.0.0.1', port: await forward(), nonce: NONCE },
    direct: undefined,
    protocols: ['9p'] as const,
  }
  await t.rejects(connectFiles(server, offer), {
    message: /^the client refuses the connection to its files: /,
  })
})

t.test('a client that goes away instead of answering is told of', async t => {
  const { client, server, forward, socket } = await sshPair(t)
  client.on('tcp connection', () => socket.destroy())
  const offer = {
    forward: { host: '127.0.0.1', port: await forward(), nonce: NONCE },
    direct: undefined,
    protocols: ['9p'] as const,
  }
  await t.rejects(connectFiles(server, offer), { message: /refuses the connection/ })
})

t.test('no descriptor is left open', async t => {
  const open = () =>
    Array.from({ length: 200 }, (_, fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`)
      } catch {
        return ''
      }
    }).filter(link => link.startsWith('socket:')).length
  const pair = await sshPair(t)
  const before = open()
  for (let i = 0; i < 3; i++) {
    const { channel, files } = await connected(pair)
    channel.resume()
    files.close()
    await once(channel, 'close')
  }
  t.equal(open(), before)
})
