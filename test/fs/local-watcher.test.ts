// Watching directories for changes by others.
import { execFile, execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { openLocalTree } from '../../src/fs/local-tree.js'
import type { TreeChange } from '../../src/fs/tree.js'
import { packageRoot } from '../../src/version.js'
import { eventually } from '../fixtures/cpu-command.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

type Node = ReturnType<typeof openLocalTree>['root']

function watched(t: Test, options: { maxWatched?: number; maxDescriptors?: number }) {
  const root = temporaryDirectory(t)
  for (let i = 0; i < 20; i++) fs.mkdirSync(path.join(root, `d${i}`))
  const tree = openLocalTree(root, options)
  const changes: TreeChange[] = []
  const watcher = tree.watch(change => changes.push(change))!
  t.teardown(() => {
    watcher.close()
    tree.dispose()
  })
  const directory = (i: number) => tree.lookup(tree.root, `d${i}`) as Node
  return { root, tree, watcher, changes, directory }
}

/** How many marks this process's fanotify groups have. */
function marks(): number {
  const infos = fs.readdirSync('/proc/self/fdinfo').map(fd => {
    try {
      return fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1')
    } catch {
      return '' // the descriptor of the listing itself
    }
  })
  return infos.join('').split('fanotify ino:').length - 1
}

t.test('as many as are allowed, and others once some are removed', async t => {
  const { watcher, directory, tree } = watched(t, { maxWatched: 5 })
  const nodes = Array.from({ length: 20 }, (_, i) => directory(i))
  t.equal(nodes.filter(node => watcher.add(node)).length, 5)
  t.ok(watcher.isFull)
  t.equal(marks(), 5)
  watcher.remove(nodes[0]!)
  t.notOk(watcher.isFull)
  t.notOk(watcher.has(nodes[0]!))
  t.ok(watcher.add(nodes[19]!))
  t.equal(marks(), 5)
  for (const node of nodes) tree.release(node)
})

t.test('those whose descriptors were given up are not watched after their removal', async t => {
  const { watcher, directory, tree, root, changes } = watched(t, { maxDescriptors: 16 })
  const nodes = Array.from({ length: 20 }, (_, i) => directory(i))
  for (const node of nodes) t.ok(watcher.add(node))
  t.ok(nodes.filter(node => node.fd < 0).length > 3, 'given up')
  execFileSync('touch', [path.join(root, 'd0/x')])
  t.ok(await eventually(() => changes.length > 0), 'and are watched meanwhile')
  for (const node of nodes) watcher.remove(node)
  t.equal(marks(), 0)
  for (const node of nodes) tree.release(node)
})

t.test('what cannot be found any more counts', async t => {
  const { watcher, directory, root } = watched(t, { maxDescriptors: 16, maxWatched: 20 })
  const nodes = Array.from({ length: 20 }, (_, i) => directory(i))
  for (const node of nodes) watcher.add(node)
  const index = nodes.findIndex(node => node.fd < 0)
  fs.renameSync(path.join(root, `d${index}`), path.join(root, 'elsewhere'))
  watcher.remove(nodes[index]!)
  t.ok(watcher.isFull, 'it is still watched')
})

t.test("the kernel's own bound", async t => {
  const script = path.join(packageRoot(), 'dist/test/fixtures/watch-marks.js')
  const root = temporaryDirectory(t)
  for (let i = 0; i < 20; i++) fs.mkdirSync(path.join(root, `d${i}`))
  const { stdout } = await promisify(execFile)('unshare', ['-Ur', process.execPath, script, root])
  t.same(JSON.parse(stdout), { first: 7, isFull: true, again: true, more: false, seconds: [1_000_000, 1] })
})
