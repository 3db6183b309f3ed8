import { AsyncLocalStorage } from 'node:async_hooks'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, readlinkSync, readSync, writeSync } from 'node:fs'
import type net from 'node:net'
import type { Readable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { setImmediate as turn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { ClientChannel as Ssh2Channel } from 'ssh2'
import t from 'tap'
import { closeFd, FdStream, type FdStreamOptions, pipe, socketPair } from '../../src/native/fd-stream.js'
import { generateKey } from '../../src/ssh/generate-key.js'

const isOpen = (fd: number) => {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) !== ''
  } catch {
    return false
  }
}

function streamPair(options: FdStreamOptions = {}): [FdStream, FdStream] {
  const [a, b] = socketPair()
  return [new FdStream(a, { peer: 'left', ...options }), new FdStream(b, { peer: 'right', ...options })]
}

/** All data up to the end. `for await` would destroy the stream then, its writing half too. */
async function collect(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = []
  stream.on('data', chunk => chunks.push(chunk))
  await once(stream, 'end')
  return Buffer.concat(chunks)
}

t.test('descriptors', async t => {
  const flags = (fd: number) =>
    Number.parseInt(/flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))![1]!, 8)
  const [O_NONBLOCK, O_CLOEXEC] = [0o4000, 0o2000000]

  t.test('a socket pair has one end that does not block', async t => {
    const [ours, theirs] = socketPair()
    t.equal(flags(ours) & (O_NONBLOCK | O_CLOEXEC), O_NONBLOCK | O_CLOEXEC)
    t.equal(flags(theirs) & (O_NONBLOCK | O_CLOEXEC), O_CLOEXEC)
    closeFd(ours)
    closeFd(theirs)
    t.throws(() => closeFd(theirs), { code: 'EBADF', syscall: 'close' })
  })

  t.test('a pipe blocks except where asked', async t => {
    for (const nonblocking of [undefined, 'read', 'write', 'both'] as const) {
      const { read, write } = pipe(nonblocking ? { nonblocking } : {})
      t.equal(flags(read) & O_NONBLOCK, nonblocking === 'read' || nonblocking === 'both' ? O_NONBLOCK : 0)
      t.equal(flags(write) & O_NONBLOCK, nonblocking === 'write' || nonblocking === 'both' ? O_NONBLOCK : 0)
      t.equal(flags(read) & flags(write) & O_CLOEXEC, O_CLOEXEC)
      closeFd(read)
      closeFd(write)
    }
  })
})

t.test('sends and receives, ends and closes', async t => {
  const [a, b] = streamPair()
  const fds = [a.fd!, b.fd!]
  a.end('hello')
  t.equal((await collect(b)).toString(), 'hello')
  await Promise.all([finished(a), finished(b)])
  if (!a.closed) await once(a, 'close')
  if (!b.closed) await once(b, 'close')
  t.equal(a.bytesWritten, 5)
  t.equal(b.bytesRead, 5)
  t.equal(a.fd, undefined)
  t.notOk(fds.some(isOpen), 'descriptors are closed')
})

t.test('64 MiB each way at once arrive unchanged', async t => {
  const [a, b] = streamPair({ allowHalfOpen: true })
  const block = randomBytes(1024 * 1024 + 13)
  const blocks = 64
  const hash = () => createHash('sha256')
  const sent = hash()
  for (let i = 0; i < blocks; i++) sent.update(block)
  const expected = sent.digest('hex')
  async function* source() {
    for (let i = 0; i < blocks; i++) yield block
  }
  const receive = async (stream: FdStream) => {
    const received = hash()
    stream.on('data', chunk => received.update(chunk))
    await once(stream, 'end')
    return received.digest('hex')
  }
  const results = await Promise.all([
    receive(a),
    receive(b),
    pipeline(source, a, { end: true }),
    pipeline(source, b, { end: true }),
  ])
  t.same(results.slice(0, 2), [expected, expected])
})

t.test('many small writes keep their order, also when written as vectors', async t => {
  const [a, b] = streamPair()
  const count = 20_000
  const received = collect(b)
  for (let i = 0; i < count; i++) a.write(`${i}\n`)
  a.end()
  const lines = (await received).toString().split('\n')
  t.equal(lines.length, count + 1)
  t.ok(lines.slice(0, count).every((line, i) => line === `${i}`))
})

t.test('corked writes longer than an I/O vector go out whole', async t => {
  const [a, b] = streamPair()
  const received = collect(b)
  a.cork()
  for (let i = 0; i < 3000; i++) a.write(Buffer.alloc(300, i & 0xff))
  a.uncork()
  a.end()
  const data = await received
  t.equal(data.length, 900_000)
  t.ok(data.every((byte, i) => byte === (Math.floor(i / 300) & 0xff)))
})

t.test('back-pressure: a reader that does not read holds the writer up', async t => {
  const [a, b] = streamPair()
  const block = Buffer.alloc(64 * 1024, 'x')
  let [blocks, idle] = [0, 0]
  // Until no room has come for many turns of the event loop.
  while (idle < 200) {
    if (a.writableNeedDrain) idle++
    else {
      a.write(block)
      blocks++
    }
    await turn()
  }
  const limit = 2 * 1024 * 1024
  t.ok(blocks * block.length < limit, `${blocks} blocks were taken`)
  t.ok(b.readableLength < 256 * 1024, `${b.readableLength} bytes wait at the reader`)
  a.end()
  t.equal((await collect(b)).length, blocks * block.length)
})

t.test('pause and resume', async t => {
  const [a, b] = streamPair()
  let received = 0
  b.on('data', chunk => {
    received += chunk.length
    b.pause()
    setImmediate(() => b.resume())
  })
  a.end(Buffer.alloc(3_000_000))
  await once(b, 'end')
  t.equal(received, 3_000_000)
})

t.test('allowHalfOpen lets the other direction go on after the end', async t => {
  const [a, b] = streamPair({ allowHalfOpen: true })
  a.end('question')
  t.equal((await collect(b)).toString(), 'question')
  t.ok(b.writable)
  b.end('answer')
  t.equal((await collect(a)).toString(), 'answer')
})

t.test('without it the stream ends as soon as the peer does', async t => {
  const [a, b] = streamPair()
  a.resume().end()
  b.resume()
  await Promise.all([once(a, 'close'), once(b, 'close')])
  t.ok(b.writableEnded)
})

t.test('the end comes although nobody asks for data', async t => {
  const [a, b] = streamPair()
  a.destroy()
  await once(b, 'close')
  t.ok(b.readableEnded)
})

t.test('errors have code, errno and syscall, and name the peer', async t => {
  const [a, b] = streamPair({ allowHalfOpen: true, peer: 'vsock/3:17010' })
  b.destroy()
  await once(b, 'close')
  const written = new Promise<unknown>(resolve => a.write('x', resolve))
  const [error] = await once(a, 'error')
  t.match(error, {
    name: 'SystemError',
    code: 'EPIPE',
    errno: -32,
    syscall: 'write',
    message: 'EPIPE: broken pipe, write vsock/3:17010',
  })
  t.equal(await written, error)
})

t.test('a descriptor that cannot be polled is refused and left alone', async t => {
  t.throws(() => new FdStream(99_999, { peer: 'nothing' }), { code: 'EBADF', syscall: 'open' })
  const { read, write } = pipe()
  const stream = new FdStream(read, { writable: false })
  t.throws(() => new FdStream(read, { writable: false }), { code: 'EEXIST' }, 'twice in one loop')
  closeFd(write)
  await once(stream.resume(), 'close')
})

t.test('destroy in the middle of a write', async t => {
  const [a, b] = streamPair()
  const written = new Promise<Error | null | undefined>(resolve => a.write(Buffer.alloc(4 << 20), resolve))
  await turn()
  const fd = a.fd!
  a.destroy()
  t.match(await written, { code: 'ECANCELED' })
  if (!a.closed) await once(a, 'close')
  t.notOk(isOpen(fd))
  b.destroy()
})

t.test('destroy with an error, inside a data listener', async t => {
  const [a, b] = streamPair()
  const failure = new Error('stop')
  b.on('data', () => b.destroy(failure))
  a.on('error', () => {})
  for (let i = 0; i < 100; i++) a.write(Buffer.alloc(50_000))
  t.equal((await once(b, 'error'))[0], failure)
  a.destroy()
})

t.test('one-way ends of pipes', async t => {
  const { read, write } = pipe()
  const source = new FdStream(read, { writable: false })
  const sink = new FdStream(write, { readable: false })
  t.notOk(source.writable)
  t.notOk(sink.readable)
  const received = collect(source)
  sink.end(Buffer.alloc(1_000_000, 'p'))
  t.equal((await received).length, 1_000_000)
  if (!sink.closed) await once(sink, 'close')
  if (!source.closed) await once(source, 'close')
  t.notOk(isOpen(read) || isOpen(write))
})

t.test('talks to a blocking peer', async t => {
  const [ours, theirs] = socketPair()
  const stream = new FdStream(ours)
  writeSync(theirs, 'from outside')
  t.equal(String((await once(stream, 'data'))[0]), 'from outside')
  await new Promise(resolve => stream.write('to outside', resolve))
  const buffer = Buffer.alloc(100)
  t.equal(buffer.toString('utf8', 0, readSync(theirs, buffer)), 'to outside')
  closeFd(theirs)
  await once(stream, 'close')
})

t.test('ticks, promises and async context work in its events', async t => {
  const storage = new AsyncLocalStorage<string>()
  const [a, b] = storage.run('context', () => streamPair())
  const order: string[] = []
  const seen = new Promise(resolve =>
    storage.run('context', () =>
      b.once('data', () => {
        process.nextTick(() => order.push('tick'))
        Promise.resolve().then(() => order.push('promise'))
        setImmediate(() => resolve(storage.getStore()))
      }),
    ),
  )
  a.write('x')
  t.equal(await seen, 'context')
  t.same(order, ['tick', 'promise'])
  a.destroy()
  b.destroy()
})

t.test('setTimeout reports idleness and leaves the stream open', async t => {
  const [a, b] = streamPair()
  let called = 0
  t.equal(
    a.setTimeout(1, () => called++),
    a,
  )
  await once(a, 'timeout')
  t.equal(called, 1)
  t.notOk(a.destroyed)
  a.setTimeout(0)
  t.equal(a.setNoDelay(true).setKeepAlive(true, 1), a)
  a.destroySoon()
  await once(b, 'close')
})

t.test('unref lets the process end', async t => {
  const url = new URL('../../src/native/fd-stream.js', import.meta.url)
  const { execFileSync } = await import('node:child_process')
  const program = `
    import { FdStream, socketPair } from ${JSON.stringify(url)}
    const [a, b] = socketPair()
    new FdStream(a).unref()
    console.log('over')`
  const out = execFileSync(process.execPath, ['--input-type=module', '-e', program], { timeout: 20_000 })
  t.equal(out.toString(), 'over\n')
})

t.test('an exception in a listener is an uncaught exception', async t => {
  const url = new URL('../../src/native/fd-stream.js', import.meta.url)
  const { spawnSync } = await import('node:child_process')
  const program = `
    import { FdStream, socketPair } from ${JSON.stringify(url)}
    const [a, b] = socketPair().map(fd => new FdStream(fd))
    b.on('data', () => { throw new Error('thrown in a listener') })
    process.on('uncaughtException', error => {
      console.log(error.message)
      a.destroy()
    })
    a.write('x')`
  const out = spawnSync(process.execPath, ['--input-type=module', '-e', program], { timeout: 20_000 })
  t.equal(out.stdout.toString(), 'thrown in a listener\n')
  t.equal(out.status, 0)
})

t.test('is a socket to node: http over a socket pair', async t => {
  const { createServer, request } = await import('node:http')
  const [a, b] = streamPair()
  const server = createServer((_, response) => response.end('over http'))
  server.emit('connection', b)
  const outgoing = request({ createConnection: () => a as unknown as net.Socket }).end()
  const [response] = await once(outgoing, 'response')
  t.equal((await collect(response)).toString(), 'over http')
  a.destroy()
  b.destroy()
})

t.test('is a socket to ssh2', async t => {
  const { default: ssh2 } = await import('ssh2')
  const [a, b] = streamPair()
  const hostKey = generateKey('test').private
  const server = new ssh2.Server({ hostKeys: [hostKey] }, connection => {
    connection.on('error', () => {}).on('authentication', context => context.accept())
    connection.on('session', accept =>
      accept().on('exec', (acceptExec, _reject, { command }) => {
        const channel = acceptExec()
        channel.pipe(channel, { end: false })
        channel.on('end', () => {
          channel.write(command)
          channel.exit(7)
          channel.end()
        })
      }),
    )
  })
  server.injectSocket(b as unknown as net.Socket)
  const client = new ssh2.Client()
  client.connect({ sock: a, username: 'anyone', password: 'anything' })
  await once(client, 'ready')
  const channel = await new Promise<Ssh2Channel>((resolve, reject) =>
    client.exec('the command', (error, opened) => (error ? reject(error) : resolve(opened))),
  )
  const exited = once(channel, 'exit')
  const received = collect(channel)
  channel.end(Buffer.alloc(8_000_000, 's'))
  t.equal((await received).length, 8_000_000 + 'the command'.length)
  t.equal((await exited)[0], 7)
  client.end()
  await Promise.all([once(a, 'close'), once(b, 'close')])
})

t.test('worker threads', async t => {
  const url = new URL('../../src/native/fd-stream.js', import.meta.url)
  const worker = (code: string, fd: number) =>
    new Worker(
      `const { workerData } = require('node:worker_threads')
       import(${JSON.stringify(url.href)}).then(({ FdStream }) => {
         const stream = new FdStream(workerData)
         ${code}
       })`,
      { eval: true, workerData: fd },
    )

  t.test('a stream works in one, and its end ends it', async t => {
    const [ours, theirs] = socketPair()
    const echo = worker('stream.pipe(stream)', theirs)
    const stream = new FdStream(ours, { allowHalfOpen: true })
    stream.end(Buffer.alloc(5_000_000, 'w'))
    t.equal((await collect(stream)).length, 5_000_000)
    t.same(await once(echo, 'exit'), [0])
  })

  t.test('one that ends with an open stream closes it', async t => {
    const [ours, theirs] = socketPair()
    const exiting = worker(`stream.on('data', () => process.exit(7))`, theirs)
    const stream = new FdStream(ours)
    const ended = once(stream.resume(), 'end')
    stream.write('x')
    t.same(await once(exiting, 'exit'), [7])
    await ended
    t.notOk(isOpen(theirs))
  })

  t.test('one that is terminated in the middle of a transfer closes it', async t => {
    for (let round = 0; round < 5; round++) {
      const [ours, theirs] = socketPair()
      const busy = worker(
        `stream.on('error', () => {})
         const more = () => { while (stream.write(Buffer.alloc(100000))); stream.once('drain', more) }
         more()`,
        theirs,
      )
      const stream = new FdStream(ours)
      const ended = once(stream, 'end')
      await once(stream, 'data')
      await busy.terminate()
      await ended
      t.notOk(isOpen(theirs))
    }
  })
})

t.test('lent reads: whoever takes each chunk at once gets all, paused or not', async t => {
  const [sender, receiver] = streamPair()
  const sent = randomBytes(2 << 20)
  const got: Buffer[] = []
  const buffers = new Set<ArrayBufferLike>()
  receiver.on('data', (chunk: Buffer) => {
    got.push(Buffer.from(chunk))
    buffers.add(chunk.buffer)
    if (got.length % 5 !== 0) return
    receiver.pause()
    setImmediate(() => receiver.resume())
  })
  receiver.lendReads()
  for (let at = 0; at < sent.length; ) {
    const end = at + 1 + (at % 100_000)
    sender.write(sent.subarray(at, end))
    at = end
  }
  sender.end()
  await once(receiver, 'end')
  t.ok(Buffer.concat(got).equals(sent))
  t.ok(buffers.size < got.length, `${buffers.size} pieces of memory for ${got.length} chunks`)
  receiver.destroy()
})
