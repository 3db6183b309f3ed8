import fs from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { findSnapshot, SnapshotDraft, snapshotDirectory } from '../../qemu/snapshot-store.js'
import { privateSnapshots } from './private-cache.js'

const never = () => t.fail('there is no damage')

async function makeSnapshot(key: string): Promise<void> {
  const draft = (await SnapshotDraft.begin(key, 1))!
  await draft.clearMemory()
  fs.truncateSync(draft.memory, 1 << 20)
  await draft.write(Buffer.from('state'), Buffer.from('console'))
  await draft.publish()
  await draft.discard()
}

function stored(): string[] {
  return fs.readdirSync(snapshotDirectory()).sort()
}

t.beforeEach(t => privateSnapshots(t as Test))

t.test('what was written is found, by nobody else', async t => {
  t.equal(await findSnapshot('a', never), undefined)
  await makeSnapshot('a')
  t.strictSame(stored(), ['a'])
  const found = await findSnapshot('a', never)
  t.equal(String(found?.state), 'state')
  t.equal(String(found?.console), 'console')
  t.equal(fs.statSync(found!.memory).mode & 0o777, 0o600)
  t.equal(fs.statSync(found!.directory).mode & 0o777, 0o700)
  t.equal(fs.statSync(snapshotDirectory()).mode & 0o777, 0o700)
})

t.test('what is not as it was written is removed', async t => {
  const damages: Record<string, (directory: string) => void> = {
    'a memory that was written to': directory => {
      const file = fs.openSync(path.join(directory, 'memory'), 'r+')
      fs.writeSync(file, 'x', 4096)
      fs.closeSync(file)
    },
    'a memory cut short': directory => fs.truncateSync(path.join(directory, 'memory'), 4096),
    'another state': directory => fs.writeFileSync(path.join(directory, 'state'), 'stath'),
    'no state': directory => fs.rmSync(path.join(directory, 'state')),
    'another console': directory => fs.appendFileSync(path.join(directory, 'console'), 'x'),
    'no manifest': directory => fs.rmSync(path.join(directory, 'snapshot.json')),
  }
  for (const [name, damage] of Object.entries(damages)) {
    await makeSnapshot('a')
    damage(path.join(snapshotDirectory(), 'a'))
    let told = 0
    t.equal(await findSnapshot('a', () => told++), undefined, name)
    t.equal(told, 1)
    t.strictSame(stored(), [])
  }
})

t.test("one at a time makes it, and what a dead one left is in nobody's way", async t => {
  const draft = (await SnapshotDraft.begin('a', 1))!
  t.equal(await SnapshotDraft.begin('a', 1), undefined)
  const other = (await SnapshotDraft.begin('b', 1))!
  await other.discard()
  t.strictSame(stored(), ['.a'])
  const dead = { pid: process.pid, startTime: '0' }
  fs.writeFileSync(path.join(snapshotDirectory(), '.a', 'maker.json'), JSON.stringify(dead))
  const next = (await SnapshotDraft.begin('a', 1))!
  await next.discard()
  await draft.discard()
  t.strictSame(stored(), [])
})

t.test('without room for all of the memory none is begun', async t => {
  await t.rejects(SnapshotDraft.begin('a', 1 << 30), {
    code: 'ERR_CPU_VM_WRITE',
    message: /^cannot write to the cache, .*snapshots: no space left on device$/,
  })
  t.strictSame(stored(), [])
})

t.test('the four used last are kept', async t => {
  for (const key of ['a', 'b', 'c', 'd']) {
    await makeSnapshot(key)
    const used = new Date(Date.now() - 100_000 + 1000 * stored().length)
    fs.utimesSync(path.join(snapshotDirectory(), key), used, used)
  }
  t.ok(await findSnapshot('a', never))
  await makeSnapshot('e')
  t.strictSame(stored(), ['a', 'c', 'd', 'e'])
})
