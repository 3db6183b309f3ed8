// The client's end of virtio-serial ports, against a socket that does what QEMU's does.
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import t, { type Test } from 'tap'
import type { SerialAddress } from '../../src/transport/address.js'
import { dial } from '../../src/transport/dial.js'
import { createLineId, MarkFinder, markOf, serialPortSocket } from '../../src/transport/serial-line.js'
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

/** Two ports whose other end is `serve`, called with the mark of each who connects, and the port's number. */
async function ports(
  t: Test,
  serve: (socket: net.Socket, mark: Buffer, index: number) => void,
): Promise<SerialAddress> {
  const directory = temporaryDirectory(t)
  fs.writeFileSync(`${directory}/lock`, '')
  for (const index of [0, 1]) {
    const server = net.createServer(socket => {
      socket.on('error', () => {})
      socket.once('data', mark => serve(socket, mark, index))
    })
    await new Promise<void>(resolve => server.listen(serialPortSocket(directory, index), resolve))
    t.teardown(() => server.close())
  }
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
  const address = await ports(t, (socket, mark, index) => socket.write(`${mark}${index}`))
  const portOf = async (stream: Duplex) => String((await once(stream, 'data'))[0])
  const first = await dial(address, limit)
  const second = await dial(address, limit)
  t.strictSame([await portOf(first), await portOf(second)], ['0', '1'])
  first.destroy()
  await once(first, 'close')
  const third = await dial(address, limit)
  t.equal(await portOf(third), '0')
  for (const stream of [second, third]) stream.destroy()
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
