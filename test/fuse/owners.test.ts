// A session's user whose ids are not those of whoever serves the files.
import fs from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { openLocalTree } from '../../src/fs/local-tree.js'
import { encodeRequest } from '../../src/fuse/codec.js'
import { attrFlag } from '../../src/fuse/protocol.js'
import { FuseClient } from '../fixtures/fuse-client.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const ROOT = 1
const user = { uid: 1000, gid: 100 }
const here = { uid: process.geteuid!(), gid: process.getegid!() }

async function serve(t: Test) {
  const root = temporaryDirectory(t)
  fs.writeFileSync(path.join(root, 'own'), '')
  fs.writeFileSync(path.join(root, 'other'), '')
  fs.chownSync(path.join(root, 'other'), 1234, 2345)
  const tree = openLocalTree(root)
  const client = new FuseClient(tree)
  t.teardown(async () => {
    client.stream.destroy()
    await client.served
    tree.dispose()
  })
  return { client, root }
}

function tell(client: FuseClient, ids: { uid: number; gid: number }): void {
  client.stream.write(encodeRequest('SESSION_IDS', { nodeid: 0, unique: 0n }, ids))
}

/** Of struct fuse_attr, at `at` in a reply. */
const ownerAt = (body: Buffer, at: number) => [body.readUInt32LE(at + 68), body.readUInt32LE(at + 72)]
const inEntry = 40
const inAttrReply = 16

function ownerHere(root: string, name: string): number[] {
  const { uid, gid } = fs.statSync(path.join(root, name))
  return [uid, gid]
}

t.test("the server's own ids are shown as the session's user's, all others as they are", async t => {
  const { client, root } = await serve(t)
  tell(client, user)
  t.equal((await client.init()).error, '')
  const own = await client.call('LOOKUP', ROOT, { name: 'own' })
  t.same(ownerAt(own.body, inEntry), [user.uid, user.gid])
  t.same(ownerAt((await client.call('GETATTR', ROOT)).body, inAttrReply), [user.uid, user.gid])
  const other = await client.call('LOOKUP', ROOT, { name: 'other' })
  t.same(ownerAt(other.body, inEntry), [1234, 2345])
  const { body } = await client.call('READDIRPLUS', ROOT, { size: 4096 })
  const owners = new Set(entryOwners(body))
  t.same([...owners].sort(), ['0,0', '1000,100', '1234,2345'], 'no node, and so no owner, for . and ..')
  const made = await client.call('CREATE', ROOT, { name: 'made', flags: 1, mode: 0o644 })
  t.same(ownerAt(made.body, inEntry), [user.uid, user.gid])
  t.same(ownerHere(root, 'made'), [here.uid, here.gid])
})

function entryOwners(body: Buffer): string[] {
  const owners: string[] = []
  for (let at = 0; at < body.length; ) {
    owners.push(String(ownerAt(body, at + inEntry)))
    at += 128 + ((24 + body.readUInt32LE(at + 128 + 16) + 7) & ~7)
  }
  return owners
}

t.test('a chown to the ids of that user is one to those of the server', async t => {
  const { client, root } = await serve(t)
  tell(client, user)
  await client.init()
  const node = await client.lookup(ROOT, 'other')
  const chown = (ids: { uid?: number; gid?: number }) =>
    client.call('SETATTR', node, {
      valid: (ids.uid === undefined ? 0 : attrFlag.uid) | (ids.gid === undefined ? 0 : attrFlag.gid),
      ...ids,
    })
  const { error, body } = await chown({ uid: user.uid })
  t.equal(error, '')
  t.same(ownerAt(body, inAttrReply), [user.uid, 2345])
  t.same(ownerHere(root, 'other'), [here.uid, 2345])
  t.equal((await chown({ gid: user.gid })).error, '')
  t.same(ownerHere(root, 'other'), [here.uid, here.gid])
  t.equal((await chown({ uid: 77, gid: 78 })).error, '')
  t.same(ownerHere(root, 'other'), [77, 78])
})

t.test('nobody is told of, and nothing is translated', async t => {
  const { client } = await serve(t)
  await client.init()
  const { body } = await client.call('LOOKUP', ROOT, { name: 'own' })
  t.same(ownerAt(body, inEntry), [here.uid, here.gid])
})

t.test('ids are told once, first, and are ids', async t => {
  const later = await serve(t)
  await later.client.init()
  tell(later.client, user)
  t.equal((await later.client.call('GETATTR', ROOT)).error, 'ECONNRESET')
  const twice = await serve(t)
  tell(twice.client, user)
  tell(twice.client, user)
  t.equal((await twice.client.init()).error, 'ECONNRESET')
  for (const ids of [
    { uid: 0xffff_ffff, gid: 0 },
    { uid: 0, gid: 0xffff_ffff },
  ]) {
    const { client } = await serve(t)
    tell(client, ids)
    t.equal((await client.init()).error, 'ECONNRESET')
  }
})
