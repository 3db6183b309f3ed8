import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Duplex, Readable } from 'node:stream'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { closeFd, FdStream, socketPair } from '../../src/native/fd-stream.js'
import { joinChannel } from '../../src/ssh/join.js'
import { type SshPair, sshPair } from '../fixtures/ssh-pair.js'

const digest = (data: Buffer) => createHash('sha256').update(data).digest('hex')

async function collect(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = []
  stream.on('data', chunk => chunks.push(chunk))
  await once(stream, 'end')
  return Buffer.concat(chunks)
}

/** A socket that is joined to the channel. */
function joined(channel: Duplex): { socket: FdStream; end: () => void } {
  const [ours, theirs] = socketPair()
  return { end: joinChannel(channel, ours), socket: new FdStream(theirs, { allowHalfOpen: true }) }
}

/** Sockets joined at both ends of one channel. */
async function joinedPair(pair: SshPair) {
  const { near, far } = await pair.open()
  return { near: joined(near), far: joined(far), channels: { near, far } }
}

/** More than ssh2's window, 2 MiB. */
const BYTES = 5 * 1024 * 1024
/** So much that 3 MiB of it pass while nobody reads, and the rest fits into the sender's buffer. */
const HELD_BYTES = 4 * 1024 * 1024

t.test('bytes pass both ways at once, in order', async t => {
  const { near, far } = await joinedPair(await sshPair(t))
  const [there, back] = [randomBytes(BYTES), randomBytes(BYTES + 1)]
  const read = async (stream: Readable, bytes: number) => {
    const chunks: Buffer[] = []
    for (let got = 0; got < bytes; ) {
      const [chunk] = (await once(stream, 'data')) as [Buffer]
      got += chunk.length
      chunks.push(chunk)
    }
    return digest(Buffer.concat(chunks))
  }
  const reads = [read(far.socket, there.length), read(near.socket, back.length)]
  near.socket.write(there)
  far.socket.write(back)
  t.same(await Promise.all(reads), [digest(there), digest(back)])
  near.end()
})

t.test('what was written before the end is delivered, and then the end', async t => {
  for (const from of ['near', 'far'] as const) {
    const pair = await joinedPair(await sshPair(t))
    const [sender, receiver] = from === 'near' ? [pair.near, pair.far] : [pair.far, pair.near]
    const data = randomBytes(BYTES)
    const received = collect(receiver.socket)
    sender.socket.end(data)
    t.equal(digest(await received), digest(data), from)
    receiver.socket.destroy()
  }
})

t.test('what waits for the window when the socket closes is delivered later', async t => {
  // the channel was closed in front of it
  for (const from of ['near', 'far'] as const) {
    const { near, far } = await (await sshPair(t)).open()
    const [sender, receiver] = from === 'near' ? [near, far] : [far, near]
    const { socket } = joined(sender)
    const data = randomBytes(HELD_BYTES)
    socket.end(data)
    socket.once('finish', () => socket.destroy())
    while (!sender.writableEnded) await setTimeout(10)
    await setTimeout(50)
    t.equal(sender.writableFinished, false, 'nobody has read')
    t.equal(digest(await collect(receiver)), digest(data), from)
  }
})

t.test('one end closed closes the other', async t => {
  for (const first of ['near', 'far'] as const) {
    const pair = await joinedPair(await sshPair(t))
    const other = first === 'near' ? pair.far : pair.near
    const closed = [once(pair.channels.near, 'close'), once(pair.channels.far, 'close')]
    pair[first].socket.destroy()
    t.equal((await collect(other.socket)).length, 0, first)
    await Promise.all(closed)
    other.socket.destroy()
  }
})

t.test('ending it by hand waits for nobody', async t => {
  const { near, far } = await (await sshPair(t)).open()
  const { socket, end } = joined(near)
  socket.on('error', () => {})
  socket.write(randomBytes(BYTES)) // far reads nothing
  await once(far, 'readable')
  const closed = new Promise(resolve => socket.once('close', resolve))
  end()
  end()
  socket.resume()
  await closed
  t.equal(near.writable, false)
})

t.test('a connection that breaks ends both sockets', async t => {
  const pair = await sshPair(t)
  const { near, far } = await joinedPair(pair)
  const ends = [collect(near.socket), collect(far.socket)]
  pair.socket.destroy()
  t.same(await Promise.all(ends), [Buffer.alloc(0), Buffer.alloc(0)])
  near.socket.destroy()
  far.socket.destroy()
})

t.test("a descriptor that cannot be joined stays the caller's", async t => {
  const { near } = await (await sshPair(t)).open()
  const [ours, theirs] = socketPair()
  closeFd(ours)
  t.throws(() => joinChannel(near, ours), { code: 'EBADF' })
  closeFd(theirs)
})
