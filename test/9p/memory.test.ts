// What one connection can make the server keep in memory.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { encode } from '../../src/9p/codec.js'
import { NOFID, NOTAG } from '../../src/9p/messages.js'
import { openLocalTree } from '../../src/fs/local-tree.js'
import { NinepServer } from '../fixtures/ninep-client.js'

const MiB = 1 << 20

/** A client that sends, after what opens fids 1 and 2, and never reads. */
async function mute(
  t: Test,
  root: string,
  names: [string, string],
): Promise<{ socket: Socket; server: NinepServer }> {
  const tree = openLocalTree(root)
  const server = new NinepServer(tree)
  await server.connect()
  const socket = connect(server.path)
  t.teardown(async () => {
    socket.destroy()
    await server.close()
    tree.dispose()
  })
  socket.write(encode('Tversion', NOTAG, { msize: MiB, version: '9P2000.L' }))
  socket.write(encode('Tattach', 0, { fid: 0, afid: NOFID, uname: '', aname: '', nUname: 0 }))
  for (const [i, name] of names.entries()) {
    socket.write(encode('Twalk', 0, { fid: 0, newfid: i + 1, names: [name] }))
    socket.write(encode('Tlopen', 0, { fid: i + 1, flags: 0 }))
  }
  return { socket, server }
}

/** The most memory in buffers seen, beyond what there was before. */
async function most(before: number): Promise<number> {
  let most = 0
  for (let i = 0; i < 100; i++) {
    await sleep(10)
    most = Math.max(most, process.memoryUsage().arrayBuffers - before)
  }
  return most
}

t.test('short answers to long questions, not taken', async t => {
  const { socket } = await mute(t, '/proc', ['version', 'uptime'])
  const before = process.memoryUsage().arrayBuffers
  const requests: Buffer[] = []
  for (let tag = 1; tag < 20_000; tag++)
    requests.push(encode('Tread', tag, { fid: 1, offset: 0n, count: MiB }))
  socket.write(Buffer.concat(requests))
  const used = await most(before)
  t.ok(used < 200 * MiB, `${Math.round(used / MiB)} MiB`)
})

t.test('answers that each need a new block, not taken', async t => {
  const directory = mkdtempSync('/tmp/export-')
  t.teardown(() => rmSync(directory, { recursive: true }))
  writeFileSync(join(directory, 'long'), Buffer.alloc(70_000))
  writeFileSync(join(directory, 'short'), '')
  const { socket } = await mute(t, directory, ['long', 'short'])
  const before = process.memoryUsage().arrayBuffers
  const requests: Buffer[] = []
  for (let tag = 1; tag < 20_000; tag += 2) {
    requests.push(encode('Tread', tag, { fid: 1, offset: 0n, count: 70_000 }))
    requests.push(encode('Tread', tag + 1, { fid: 2, offset: 0n, count: MiB }))
  }
  socket.write(Buffer.concat(requests))
  const used = await most(before)
  t.ok(used < 40 * MiB, `${Math.round(used / MiB)} MiB`)
})

t.test('fids without end', async t => {
  const tree = openLocalTree('/tmp')
  const server = new NinepServer(tree, { maxFids: 1000 })
  t.teardown(async () => {
    await server.close()
    tree.dispose()
  })
  const { client, root } = await server.attached()
  const walks = Array.from({ length: 1500 }, () => client.walk(root))
  const refused = (await Promise.allSettled(walks)).filter(({ status }) => status === 'rejected')
  t.equal(refused.length, 501)
})
