import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { NinepServer, parseEntries } from '../fixtures/ninep-client.js'
import { type OpenTree, testTrees } from '../fixtures/trees.js'

async function emptyExport(t: Test, openTree: OpenTree, parent: string, msize?: number) {
  const directory = mkdtempSync(join(parent, 'export-'))
  const tree = openTree(directory)
  const server = new NinepServer(tree)
  t.teardown(async () => {
    await server.close()
    tree.dispose()
    rmSync(directory, { recursive: true })
  })
  return { directory, ...(await server.attached(msize)) }
}

for (const [parent, kept] of [
  ['/tmp', 30_000],
  ['/dev/shm', 100_000],
] as const) {
  testTrees(`${kept} entries that come and go, on ${parent}`, async (t, openTree) => {
    const { directory, client, root } = await emptyExport(t, openTree, parent)
    for (let i = 0; i < kept; i++) writeFileSync(join(directory, `kept-${i}`), '')
    for (let i = 0; i < 2000; i++) writeFileSync(join(directory, `gone-${i}`), '')
    const fid = await client.walk(root)
    await client.call('Tlopen', { fid, flags: 0 })
    const seen = new Map<string, number>()
    let requests = 0
    for (let offset = 0n; ; requests++) {
      const { data } = await client.call('Treaddir', { fid, offset, count: 20_000 })
      const entries = parseEntries(data)
      if (entries.length === 0) break
      for (const { name } of entries) seen.set(name, (seen.get(name) ?? 0) + 1)
      offset = entries[entries.length - 1]!.cookie
      if (requests < 20) {
        for (let i = 0; i < 100; i++) unlinkSync(join(directory, `gone-${requests * 100 + i}`))
        for (let i = 0; i < 100; i++) writeFileSync(join(directory, `new-${requests}-${i}`), '')
      }
    }
    let missing = 0
    for (let i = 0; i < kept; i++) if (seen.get(`kept-${i}`) !== 1) missing++
    t.equal(missing, 0, 'what stayed was seen once')
    t.equal([...seen.values()].filter(count => count > 1).length, 0, 'nothing was seen twice')
    const { data } = await client.call('Treaddir', { fid, offset: 0n, count: 60_000 })
    t.ok(data.length > 0, 'offset 0 rewinds')
  })
}

testTrees('entries agree with what is there, whatever the size of the reads', async (t, openTree) => {
  const { directory, client, root } = await emptyExport(t, openTree, '/tmp')
  for (let i = 1; i <= 255; i += 2) writeFileSync(join(directory, 'x'.repeat(i)), '')
  mkdirSync(join(directory, 'd'))
  const expected = ['.', '..', ...readdirSync(directory)].sort()
  for (const count of [279, 300, 500, 1000, 4096, 1_048_552]) {
    const entries = await client.list(root, count)
    t.same(entries.map(entry => entry.name).sort(), expected, `by ${count}`)
    t.ok(client.lastReplySize <= count + 11)
  }
  for (const entry of await client.list(root)) {
    if (entry.name === '..') continue
    const stat = statSync(join(directory, entry.name), { bigint: true })
    t.equal(entry.qid.path, stat.ino)
    t.equal(entry.qid.type, stat.isDirectory() ? 0x80 : 0)
    t.equal(entry.qid.version, stat.isDirectory() ? 0 : 1)
    t.equal(entry.type, stat.isDirectory() ? 4 : 8)
  }
  const fid = await client.walk(root)
  await client.call('Tlopen', { fid, flags: 0 })
  await t.rejects(client.call('Treaddir', { fid, offset: 0n, count: 20 }), { code: 'EINVAL' })
})

testTrees('what is above the root is not told', async (t, openTree) => {
  const { client, root } = await emptyExport(t, openTree, '/tmp')
  const { qid } = await client.attributes(root)
  const entries = await client.list(root)
  t.same(entries.map(entry => [entry.name, entry.qid.path]).sort(), [
    ['.', qid.path],
    ['..', qid.path],
  ])
})

testTrees('a directory removed while it is read is empty', async (t, openTree) => {
  const { directory, client, root } = await emptyExport(t, openTree, '/tmp')
  mkdirSync(join(directory, 'd'))
  const fid = await client.open(root, 'd')
  await client.call('Tunlinkat', { dirfid: root, name: 'd', flags: 0x200 })
  t.equal((await client.call('Treaddir', { fid, offset: 0n, count: 4096 })).data.length, 0)
})
