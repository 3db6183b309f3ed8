// The client's end of virtio-serial ports, against a socket that does what QEMU's does.
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import t, { type Test } from 'tap'
import type { SerialAddress } from '../../src/transport/address.js'
import { dial } from '../../src/transport/dial.js'
import { createLineId, MarkFinder, markOf } from '../../src/transport/serial-line.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

t.test('marks are found however they are cut', t => {
  const id = createLineId()
  const bytes = Buffer.concat([
    Buffer.from('before'),
    markOf(id).subarray(0, 30),
    markOf(id),
    Buffer.from('on'),
  ])
  for (let cut = 0; cut <= bytes.length; cut++) {
    const finder = new MarkFinder()
    const found = [bytes.subarray(0, cut), bytes.subarray(cut)].flatMap(chunk => {
      const mark = finder.find(chunk)
      return mark === undefined ? [] : [{ id: mark.id, rest: chunk.subarray(mark.end).toString() }]
    })
    const rest = cut >= bytes.length - 2 ? 'on'.slice(0, cut - bytes.length + 2) : 'on'
    t.strictSame(found, [{ id, rest }], `cut at ${cut}`)
  }
  t.equal(new MarkFinder().find(Buffer.alloc(1000)), undefined)
  t.end()
})

/** Ports whose other end is `serve`, called with the mark of each who connects. */
async function ports(t: Test, serve: (socket: net.Socket, mark: Buffer) => void): Promise<SerialAddress> {
  const directory = temporaryDirectory(t)
  fs.writeFileSync(path.join(directory, 'lock'), '')
  const server = net.createServer(socket => {
    socket.on('error', () => {})
    socket.once('data', mark => serve(socket, mark))
  })
  await new Promise<void>(resolve => server.listen(path.join(directory, '0.sock'), resolve))
  t.teardown(() => server.close())
  return { net: 'serial', path: directory }
}

const limit = { timeoutMs: 20_000 }

async function readAll(stream: NodeJS.ReadableStream): Promise<string> {
  let text = ''
  for await (const chunk of stream) text += chunk
  return text
}

t.test('what belongs to others is passed over, and the end is told', async t => {
  const address = await ports(t, (socket, mark) => {
    socket.write(Buffer.concat([Buffer.from('stale'), markOf(createLineId()), Buffer.from('stale'), mark]))
    socket.write(Buffer.concat([Buffer.from('mine'), mark]))
  })
  const stream = await dial(address, limit)
  t.equal(await readAll(stream), 'mine')
})

t.test('a port is taken until its holder has closed it', async t => {
  const address = await ports(t, (socket, mark) => socket.write(mark))
  const stream = await dial(address, limit)
  await t.rejects(dial(address, limit), { code: 'ERR_CPU_CONNECT', message: /1\.sock/ }, 'the next is tried')
  stream.destroy()
  await new Promise(resolve => stream.once('close', resolve))
  const again = await dial(address, limit)
  again.destroy()
})

t.test('a machine that hangs up, or is not there', async t => {
  const address = await ports(t, socket => socket.end())
  await t.rejects(dial(address, limit), { code: 'ERR_CPU_CONNECT', message: /the machine hung up/ })
  await t.rejects(dial({ net: 'serial', path: '/nosuch' }, limit), {
    code: 'ERR_CPU_CONNECT',
    message: /^cannot connect to virtio-serial\/nosuch: /,
    remedy: 'is there such a socket?',
  })
})
