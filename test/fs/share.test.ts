// Several users of one tree: what one of them hoards is not missing to the others.

import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { failure } from '../../src/fs/failure.js'
import { type LocalTree, openLocalTree } from '../../src/fs/local-tree.js'
import { openFlag } from '../../src/fs/tree.js'

type Node = LocalTree['root']
type File = Exclude<ReturnType<LocalTree['open']>, number>

function exported(t: Test, maxDescriptors: number) {
  const directory = mkdtempSync('/tmp/export-')
  for (let i = 0; i < 200; i++) writeFileSync(join(directory, `f${i}`), `${i}`)
  const tree = openLocalTree(directory, { maxDescriptors })
  t.teardown(() => {
    tree.dispose()
    rmSync(directory, { recursive: true, force: true })
  })
  return { directory, tree }
}

/** Opens files until that is refused; the refusal must be ENFILE. */
function openAll(t: Test, tree: LocalTree): File[] {
  const files: File[] = []
  for (let i = 0; i < 200; i++) {
    const node = tree.lookup(tree.root, `f${i}`)
    const file = typeof node === 'number' ? node : tree.open(node, openFlag.read)
    if (typeof node !== 'number') tree.release(node)
    if (typeof file === 'number') {
      t.equal(file, failure.ENFILE)
      return files
    }
    files.push(file)
  }
  t.fail('never refused')
  return files
}

t.test('one that opens all it can leaves as much for others', async t => {
  const { tree } = exported(t, 160)
  const greedy = tree.share()
  const other = tree.share()
  const hoard = openAll(t, greedy)
  t.ok(hoard.length >= 35, `${hoard.length} files, of two descriptors each`)
  const files = openAll(t, other)
  t.ok(files.length >= 15, `${files.length} files beside them`)
  for (const file of hoard) greedy.close(file)
  t.ok(openAll(t, other).length >= 15, 'what is given back can be had by others')
  greedy.dispose()
  other.dispose()
})

t.test('one that keeps removed files leaves as much for others', async t => {
  const { tree } = exported(t, 160)
  const greedy = tree.share()
  const nodes: Node[] = []
  for (let i = 100; i < 200; i++) {
    const node = greedy.lookup(greedy.root, `f${i}`)
    if (typeof node === 'number') break
    nodes.push(node)
    greedy.unlink(greedy.root, `f${i}`, false)
  }
  t.ok(greedy.size.descriptors <= 85, `${greedy.size.descriptors} of 160`)
  const other = tree.share()
  t.ok(openAll(t, other).length >= 15)
  for (const node of nodes) greedy.release(node)
  greedy.dispose()
  other.dispose()
})

t.test('each of very many can open something', async t => {
  const { tree } = exported(t, 160)
  const shares = Array.from({ length: 20 }, () => tree.share())
  for (const share of shares) t.ok(openAll(t, share).length >= 4)
  for (const share of shares) share.dispose()
})

t.test('a share ends without a trace, and is of the same directory though that was moved', async t => {
  const { directory, tree } = exported(t, 160)
  const before = readdirSync('/proc/self/fd').length
  renameSync(directory, `${directory}-moved`)
  t.teardown(() => rmSync(`${directory}-moved`, { recursive: true }))
  mkdirSync(directory)
  const share = tree.share()
  const node = share.lookup(share.root, 'f1')
  t.type(node, 'object')
  t.equal(share.lookup(share.root, '..'), share.root)
  share.dispose()
  t.equal(readdirSync('/proc/self/fd').length, before)
})

t.test('users of a read-only tree change nothing', async t => {
  const directory = mkdtempSync('/tmp/export-')
  const tree = openLocalTree(directory, { readOnly: true })
  t.teardown(() => {
    tree.dispose()
    rmSync(directory, { recursive: true })
  })
  const share = tree.share()
  t.equal(share.makeDirectory(share.root, 'd', 0o700), failure.EROFS)
  share.dispose()
})
