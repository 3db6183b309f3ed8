// What the protocol itself asks of a server, and what a client that breaks it gets.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { encode } from '../../src/9p/codec.js'
import { NOFID, NOTAG } from '../../src/9p/messages.js'
import type { ServeOptions } from '../../src/9p/serve.js'
import { openLocalTree } from '../../src/fs/local-tree.js'
import { NinepServer } from '../fixtures/ninep-client.js'
import { Random } from '../fixtures/random.js'

function serverFor(t: Test, options: ServeOptions = {}) {
  const directory = mkdtempSync('/tmp/export-')
  mkdirSync(join(directory, 'a/b/c'), { recursive: true })
  writeFileSync(join(directory, 'a/f'), 'hello')
  const tree = openLocalTree(directory)
  const server = new NinepServer(tree, options)
  t.teardown(async () => {
    await server.close()
    tree.dispose()
    rmSync(directory, { recursive: true })
  })
  return { directory, server, tree }
}

t.test('version', async t => {
  const { server, tree } = serverFor(t, { msizeLimit: 100_000 })
  const client = await server.connect()
  await t.rejects(client.call('Tclunk', { fid: 1 }), { code: 'EPROTO' })
  t.same(await client.call('Tversion', { msize: 8192, version: '9P2000.u' }, NOTAG), {
    msize: 8192,
    version: 'unknown',
  })
  await t.rejects(client.start(100), { code: 'EINVAL' })
  t.equal(await client.start(1_000_000), 100_000)
  t.equal(await client.start(50_000), 50_000)
  const root = await client.attach()
  const file = await client.walk(root, 'a', 'f')
  await client.call('Tlopen', { fid: file, flags: 2 })
  await client.start()
  await t.rejects(client.attributes(file), { code: 'EBADF' }, 'a new version ends what was before')
  t.same(tree.size, { inodes: 1, descriptors: 1 })
})

t.test('attach: many, anywhere inside, nowhere else', async t => {
  const { server } = serverFor(t)
  const { client, root } = await server.attached()
  const again = await client.attach('')
  t.same(await client.attributes(again), await client.attributes(root))
  const below = await client.attach('/a/b')
  t.same(
    (await client.attributes(below)).qid,
    (await client.attributes(await client.walk(root, 'a', 'b'))).qid,
  )
  t.same((await client.attributes(await client.attach('../../..'))).qid, (await client.attributes(root)).qid)
  await t.rejects(client.attach('/none'), { code: 'ENOENT' })
  await t.rejects(client.attach('/a/f/x'), { code: 'ENOTDIR' })
  const attach = { uname: '', aname: '', nUname: 0 }
  await t.rejects(client.call('Tattach', { fid: root, afid: NOFID, ...attach }), { code: 'EBADF' })
  await t.rejects(client.call('Tattach', { fid: 99, afid: 1, ...attach }), { code: 'EBADF' })
  await t.rejects(client.call('Tauth', { afid: 1, uname: '', aname: '', nUname: 0 }), { code: 'EOPNOTSUPP' })
})

t.test('walk', async t => {
  const { server } = serverFor(t)
  const { client, root } = await server.attached()
  const walk = (fid: number, newfid: number, ...names: string[]) =>
    client.call('Twalk', { fid, newfid, names })
  t.equal((await walk(root, 50, 'a', 'none', 'b')).qids.length, 1, 'as far as it goes')
  await t.rejects(client.attributes(50), { code: 'EBADF' }, 'which makes no fid')
  await t.rejects(walk(root, 50, 'none'), { code: 'ENOENT' })
  await t.rejects(walk(77, 50), { code: 'EBADF' })
  t.equal((await walk(root, 50)).qids.length, 0)
  await t.rejects(walk(root, 50), { code: 'EBADF' }, 'newfid in use')
  t.equal((await walk(50, 50, 'a', 'b', 'c')).qids.length, 3, 'in place')
  t.equal((await walk(50, 50)).qids.length, 0)
  const up = await walk(50, 51, ...new Array(16).fill('..'))
  t.same(up.qids[15], (await client.attributes(root)).qid, 'never above the root')
  await t.rejects(walk(root, 52, ...new Array(17).fill('..')), { code: 'EINVAL' })
  await t.rejects(client.walk(root, 'a', 'f', 'x'), { code: 'ENOENT' })
  await client.call('Tlopen', { fid: 51, flags: 0 })
  await t.rejects(walk(51, 51, 'a'), { code: 'EBUSY' })
  await t.rejects(client.call('Tlopen', { fid: 51, flags: 0 }), { code: 'EBUSY' })
})

t.test('fids are limited, and fid numbers are checked', async t => {
  const { server } = serverFor(t, { maxFids: 100 })
  const { client, root } = await server.attached()
  const fids: number[] = []
  for (let i = 0; i < 99; i++) fids.push(await client.walk(root, 'a'))
  await t.rejects(client.walk(root, 'a'), { code: 'EMFILE' })
  await client.clunk(fids[0]!)
  await client.clunk(await client.walk(root, 'a'))
  for (const fid of [0, 12_345, NOFID]) {
    await t.rejects(client.read(fid), { code: 'EBADF' })
    await t.rejects(client.clunk(fid), { code: 'EBADF' })
    await t.rejects(client.call('Tunlinkat', { dirfid: fid, name: 'a', flags: 0 }), { code: 'EBADF' })
  }
  await t.rejects(client.read(root), { code: 'EBADF' }, 'not open')
})

t.test('requests that come together are answered together, in order', async t => {
  const { server } = serverFor(t)
  const { client, root } = await server.attached()
  client.log = []
  const tags = Array.from({ length: 500 }, () => client.newTag())
  const frames = tags.map(tag => encode('Tgetattr', tag, { fid: root, mask: 0n }))
  const chunks: number[] = []
  client.socket.on('data', chunk => chunks.push(chunk.length))
  const last = client.exchange(Buffer.concat(frames), tags[499]!)
  await last
  t.same(
    client.log.map(frame => frame.tag),
    tags,
  )
  t.ok(chunks.length < 20, `${chunks.length} chunks`)
})

t.test('flush: of what was answered, of nothing, of itself', async t => {
  const { server } = serverFor(t)
  const { client, root } = await server.attached()
  client.log = []
  const both = Buffer.concat([
    encode('Tgetattr', 1000, { fid: root, mask: 0n }),
    encode('Tflush', 1001, { oldtag: 1000 }),
  ])
  await client.exchange(both, 1001)
  t.same(
    client.log.map(frame => frame.name),
    ['Rgetattr', 'Rflush'],
    'the reply comes first',
  )
  await client.call('Tflush', { oldtag: 4711 })
  await client.call('Tflush', { oldtag: 1002 }, 1002)
  const fsync = await client.open(root, 'a')
  const flushed = client.exchange(
    Buffer.concat([
      encode('Tfsync', 1003, { fid: fsync, datasync: 0 }),
      encode('Tflush', 1004, { oldtag: 1003 }),
      encode('Tclunk', 1005, { fid: fsync }),
    ]),
    1005,
  )
  await flushed
  await client.attributes(root)
  t.notOk(
    client.log.some(frame => frame.tag === 1003),
    'never answered after Rflush',
  )
})

t.test('malformed messages are refused, and the connection goes on', async t => {
  const { server } = serverFor(t)
  const { client, root } = await server.attached()
  const good = encode('Twalk', 1, { fid: root, newfid: 9, names: ['a'] })
  for (let length = 7; length < good.length; length++) {
    const cut = Buffer.from(good.subarray(0, length))
    cut.writeUInt32LE(length)
    t.match(await client.exchange(cut, 1), { name: 'Rlerror', body: { ecode: 22 } })
  }
  for (const type of [0, 6, 7, 25, 106, 112, 126, 255]) {
    const unknown = Buffer.from(good)
    unknown[4] = type
    t.match(await client.exchange(unknown, 1), { name: 'Rlerror', body: { ecode: 95 } }, `type ${type}`)
  }
  await client.attributes(root)
})

t.test('a broken frame ends the connection, and no other', async t => {
  const { server, tree } = serverFor(t)
  const bystander = await server.attached()
  for (const size of [0, 6, 1024 * 1024 + 1, 0xffffffff]) {
    const { client, root } = await server.attached()
    await client.open(root, 'a')
    const bytes = Buffer.alloc(16)
    bytes.writeUInt32LE(size)
    client.socket.write(bytes)
    await client.closed
  }
  t.equal((await bystander.client.attributes(bystander.root)).qid.type, 0x80)
  await Promise.all(server.served.slice(1))
  t.same(tree.size, { inodes: 1, descriptors: 1 })
})

t.test('a tag used twice ends the connection', async t => {
  const { server } = serverFor(t)
  const { client, root } = await server.attached()
  const fid = await client.open(root, 'a')
  const twice = encode('Tfsync', 5, { fid, datasync: 0 })
  client.socket.write(Buffer.concat([twice, twice]))
  await client.closed
})

t.test('noise', async t => {
  const { server, tree } = serverFor(t)
  const random = new Random(99)
  for (let round = 0; round < 60; round++) {
    const { client, root } = await server.attached()
    const messages = Array.from({ length: 200 }, () => {
      const body = random.bytes(random.below(40))
      if (body.length >= 4 && random.below(2)) body.writeUInt32LE(root)
      const header = Buffer.alloc(7)
      header.writeUInt32LE(7 + body.length)
      // Not those that make, change or remove something under a name that happens to be valid.
      header[4] = [8, 12, 22, 24, 30, 40, 50, 52, 54, 104, 108, 110, 116, 118, 120][random.below(15)]!
      header.writeUInt16LE(random.below(50), 5)
      return Buffer.concat([header, body])
    })
    client.socket.write(Buffer.concat(messages))
    client.socket.end()
    client.socket.resume()
    await client.closed
  }
  await Promise.all(server.served)
  t.same(tree.size, { inodes: 1, descriptors: 1 })
})

t.test('a client that does not read its replies is not read from', async t => {
  const { directory, server } = serverFor(t)
  writeFileSync(join(directory, 'big'), Buffer.alloc(1 << 20))
  const { client, root } = await server.attached()
  const fid = await client.open(root, 'big')
  client.socket.pause()
  const before = process.memoryUsage().arrayBuffers
  const count = 1_048_552
  const requests = Array.from({ length: 500 }, (_, i) => encode('Tread', i, { fid, offset: 0n, count }))
  client.socket.write(Buffer.concat(requests))
  for (let i = 0; i < 200; i++) await new Promise(resolve => setImmediate(resolve))
  const used = process.memoryUsage().arrayBuffers - before
  t.ok(used < 40e6, `${Math.round(used / 1e6)} MB for 500 MB of replies`)
  let received = 0
  client.socket.on('data', chunk => {
    received += chunk.length
  })
  client.socket.resume()
  await client.exchange(encode('Tclunk', 5000, { fid: root }), 5000)
  t.equal(received, 500 * (11 + count) + 7, 'nothing is lost')
})

t.test('a signal ends it; requests and replies are traced', async t => {
  const lines: string[] = []
  const controller = new AbortController()
  const { server } = serverFor(t, { signal: controller.signal, trace: line => lines.push(line) })
  const { client, root } = await server.attached()
  await client.clunk(await client.open(root, 'a'))
  await t.rejects(client.walk(root, 'none'))
  controller.abort()
  await client.closed
  t.match(lines, [
    '> Tversion tag=65535 msize=1048576 version="9P2000.L"',
    '< Rversion tag=65535 msize=1048576 version="9P2000.L"',
    /^> Tattach tag=\d+ fid=1/,
    /^< Rattach .*qid=\(80 0 \d+\)/,
    /^> Twalk .*names=\["a"\]/,
    /^< Rwalk/,
    /^> Tlopen .*flags=0x0/,
    /^< Rlopen/,
    /^> Tclunk/,
    /^< Rclunk/,
    /^> Twalk/,
    /^< Rlerror tag=\d+ ecode=2$/,
    'end: aborted',
  ])
})
