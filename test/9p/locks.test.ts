import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { encode } from '../../src/9p/codec.js'
import type { Message } from '../../src/9p/messages.js'
import { type NinepClient, NinepServer } from '../fixtures/ninep-client.js'
import { type OpenTree, testTrees } from '../fixtures/trees.js'

const READ = 0
const WRITE = 1
const UNLOCK = 2
const SUCCESS = 0
const BLOCKED = 1
const BLOCK = 1

async function fileServer(t: Test, openTree: OpenTree, readOnly = false) {
  const directory = mkdtempSync('/tmp/export-')
  writeFileSync(join(directory, 'f'), 'x')
  const tree = openTree(directory, { readOnly })
  const server = new NinepServer(tree)
  t.teardown(async () => {
    await server.close()
    tree.dispose()
    rmSync(directory, { recursive: true })
  })
  return { server, ...(await server.attached()) }
}

/** Of a process of its own for each fid. */
function request(fid: number, type: number, start = 0n, length = 0n, flags = 0): Message<'Tlock'> {
  return { fid, type, flags, start, length, processId: fid, clientId: 'guest' }
}

async function lock(client: NinepClient, ...args: Parameters<typeof request>): Promise<number> {
  return (await client.call('Tlock', request(...args))).status
}

testTrees('between two fids, and two connections', async (t, openTree) => {
  const { server, client, root } = await fileServer(t, openTree)
  const other = await server.attached()
  const a = await client.open(root, 'f', 2)
  const b = await client.open(root, 'f', 2)
  const c = await other.client.open(other.root, 'f', 2)
  t.equal(await lock(client, a, WRITE, 10n, 10n), SUCCESS)
  t.equal(await lock(client, b, WRITE, 15n, 1n), BLOCKED)
  t.equal(await lock(other.client, c, READ, 19n, 5n), BLOCKED)
  t.equal(await lock(other.client, c, WRITE, 20n, 0n), SUCCESS)
  t.equal(await lock(client, b, READ, 0n, 10n), SUCCESS)
  t.equal(await lock(client, a, READ, 0n, 10n), SUCCESS)
  t.equal(await lock(client, a, WRITE, 0n, 10n), BLOCKED)

  const test = { start: 0n, length: 0n, processId: 7, clientId: 'guest' }
  const held = await other.client.call('Tgetlock', { fid: c, type: UNLOCK, ...test })
  t.match(held, { clientId: 'guest', start: 0n, length: 10n, type: READ })
  const free = await client.call('Tgetlock', {
    fid: a,
    type: WRITE,
    ...test,
    processId: a,
    start: 12n,
    length: 1n,
  })
  t.match(free, { type: UNLOCK, start: 12n, length: 1n })

  await client.clunk(b)
  t.equal(await lock(client, a, WRITE, 0n, 10n), SUCCESS, 'the locks of a fid end with it')
  other.client.socket.destroy()
  await server.served[1]
  t.equal(await lock(client, a, WRITE, 20n, 0n), SUCCESS, 'and those of a connection')
  await t.rejects(lock(client, a, 9), { code: 'EINVAL' })
  await t.rejects(lock(client, root, READ), { code: 'EBADF' })
})

testTrees('a blocking lock waits without holding up anything', async (t, openTree) => {
  const { server, client, root } = await fileServer(t, openTree)
  const other = await server.attached()
  const a = await client.open(root, 'f', 2)
  const b = await other.client.open(other.root, 'f', 2)
  await lock(client, a, WRITE)
  let isDone = false
  const waiting = lock(other.client, b, WRITE, 0n, 0n, BLOCK).then(status => {
    isDone = true
    return status
  })
  await other.client.attributes(b)
  t.notOk(isDone)
  await lock(client, a, UNLOCK)
  t.equal(await waiting, SUCCESS)
  t.equal(await lock(client, a, READ), BLOCKED)

  const again = lock(client, a, WRITE, 0n, 0n, BLOCK)
  await client.attributes(a)
  await other.client.clunk(b)
  t.equal(await again, SUCCESS, 'the end of the other file lets it go on')
})

testTrees('a flushed lock is neither answered nor held', async (t, openTree) => {
  const { client, root } = await fileServer(t, openTree)
  const a = await client.open(root, 'f', 2)
  const b = await client.open(root, 'f', 2)
  await lock(client, a, WRITE)
  client.log = []
  const tag = client.newTag()
  client.exchange(encode('Tlock', tag, request(b, WRITE, 0n, 0n, BLOCK)), tag).catch(() => {})
  await client.call('Tflush', { oldtag: tag })
  await lock(client, a, UNLOCK)
  t.equal(await lock(client, a, WRITE), SUCCESS, 'the one that was flushed did not get it')
  t.notOk(client.log.some(frame => frame.tag === tag))
  t.equal((await client.call('Tgetattr', { fid: a, mask: 0n }, tag)).qid.type, 0, 'the tag is free')
})

testTrees('a fid that waits for a lock can be clunked', async (t, openTree) => {
  const { client, root } = await fileServer(t, openTree)
  const a = await client.open(root, 'f', 2)
  const b = await client.open(root, 'f', 2)
  await lock(client, a, WRITE)
  const waiting = lock(client, b, WRITE, 0n, 0n, BLOCK)
  await client.clunk(b)
  t.equal(await waiting, 2, 'P9_LOCK_ERROR')
})

testTrees('flock on what is open for reading only', async (t, openTree) => {
  const { client, root } = await fileServer(t, openTree)
  const a = await client.open(root, 'f', 0)
  const b = await client.open(root, 'f', 0)
  t.equal(await lock(client, a, WRITE), SUCCESS)
  t.equal(await lock(client, b, READ), BLOCKED)
  t.equal(await lock(client, a, UNLOCK), SUCCESS)
  t.equal(await lock(client, b, READ), SUCCESS)
  t.equal(await lock(client, b, WRITE), SUCCESS, 'from shared to exclusive')
  t.equal(await lock(client, a, READ), BLOCKED)
  const d = await client.walk(root)
  await client.call('Tlopen', { fid: d, flags: 0 })
  t.equal(await lock(client, d, WRITE), SUCCESS, 'directories too')
})

testTrees('flock on a read-only export', async (t, openTree) => {
  const { client, root } = await fileServer(t, openTree, true)
  const a = await client.open(root, 'f', 0)
  const b = await client.open(root, 'f', 0)
  t.equal(await lock(client, a, WRITE), SUCCESS)
  t.equal(await lock(client, b, WRITE), BLOCKED)
  t.equal(await lock(client, b, READ), BLOCKED)
  t.equal(await lock(client, a, READ), SUCCESS)
  t.equal(await lock(client, b, READ), SUCCESS)
  t.equal(await lock(client, b, WRITE), BLOCKED)
  await client.clunk(a)
  t.equal(await lock(client, b, WRITE), SUCCESS)
})

testTrees('one process is not in its own way, and drops its locks as POSIX has it', async (t, openTree) => {
  const { server, client, root } = await fileServer(t, openTree)
  const other = await server.attached()
  const c = await other.client.open(other.root, 'f', 2)
  const isFree = async () => {
    const isFree = (await lock(other.client, c, WRITE)) === SUCCESS
    await lock(other.client, c, UNLOCK)
    return isFree
  }
  const a = await client.open(root, 'f', 2)
  const b = await client.open(root, 'f', 2)
  const by = async (fid: number, processId: number, type: number, start = 0n, length = 0n) =>
    (await client.call('Tlock', { ...request(fid, type, start, length), processId })).status
  t.equal(await by(a, 1, WRITE, 0n, 10n), SUCCESS)
  t.equal(await by(b, 1, WRITE, 5n, 10n), SUCCESS, 'by another file')
  t.equal(await by(b, 1, READ, 0n, 2n), SUCCESS)
  t.equal(await by(b, 2, WRITE, 5n, 1n), BLOCKED, 'another process is')
  t.equal(await by(b, 1, UNLOCK), SUCCESS)
  t.ok(await isFree(), 'dropped through the other file')

  t.equal(await by(a, 1, WRITE), SUCCESS)
  t.equal(await by(a, 3, UNLOCK), SUCCESS)
  t.notOk(await isFree(), 'a child that closes what it inherited takes nothing from its parent')
  await client.clunk(b)
  t.notOk(await isFree(), 'nor does a file by which nothing was locked')
  await client.clunk(a)
  t.ok(await isFree())
})

testTrees('thousands who wait, and a storm of unlocks', async (t, openTree) => {
  const { server, client, root } = await fileServer(t, openTree)
  const other = await server.attached()
  const a = await client.open(root, 'f', 2)
  const b = await other.client.open(other.root, 'f', 2)
  await lock(client, a, WRITE)
  const waiting = Array.from({ length: 3000 }, (_, processId) =>
    other.client.call('Tlock', { ...request(b, READ, 0n, 1n, BLOCK), processId }),
  )
  await Promise.all(Array.from({ length: 2000 }, (_, i) => lock(client, a, UNLOCK, BigInt(2 + 2 * i), 1n)))
  await lock(client, a, UNLOCK)
  t.ok((await Promise.all(waiting)).every(({ status }) => status === SUCCESS))
})

testTrees('locks without end are refused, and not remembered', async (t, openTree) => {
  const { client, root } = await fileServer(t, openTree)
  const a = await client.open(root, 'f', 2)
  const statuses = await Promise.all(
    Array.from({ length: 9000 }, (_, i) => lock(client, a, WRITE, BigInt(2 * i), 1n)),
  )
  t.equal(statuses[0], SUCCESS)
  t.equal(statuses.at(-1), 2, 'P9_LOCK_ERROR')
  t.equal(await lock(client, a, UNLOCK), SUCCESS)
  t.equal(await lock(client, a, WRITE), SUCCESS)
  for (let processId = 0; processId < 20_000; processId++) {
    await Promise.all(
      [READ, UNLOCK].map(type => client.call('Tlock', { ...request(a, type, 9n, 1n), processId })),
    )
    if (processId === 0) await lock(client, a, UNLOCK)
  }
  const long = { ...request(a, READ), clientId: 'n'.repeat(65_535) }
  await t.rejects(client.call('Tlock', long), { code: 'EINVAL' })
})
