// What the tree promises beyond single calls: identity, descriptors that come and go, names that others change.

import { execFileSync } from 'node:child_process'
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { failure } from '../../src/fs/failure.js'
import { type LocalTreeOptions, openLocalTree } from '../../src/fs/local-tree.js'
import { attributeRecordSize, type FileTree, openFlag, type TreeNode } from '../../src/fs/tree.js'
import { type SizedTree, testTrees } from '../fixtures/trees.js'

function exported(
  t: Test,
  options: LocalTreeOptions = {},
  openTree: (localPath: string, options: LocalTreeOptions) => SizedTree = openLocalTree,
) {
  const directory = mkdtempSync('/tmp/export-')
  const tree = openTree(directory, options)
  t.teardown(() => {
    tree.dispose()
    rmSync(directory, { recursive: true })
  })
  return { directory, tree }
}

function find(tree: FileTree, ...names: string[]): TreeNode {
  let node = tree.root
  tree.retain(node)
  for (const name of names) {
    const next = tree.lookup(node, name)
    if (typeof next === 'number') throw new Error(`${names.join('/')}: ${next}`)
    tree.release(node)
    node = next
  }
  return node
}

function attributes(tree: FileTree, node: TreeNode): number {
  return tree.attributes(node, Buffer.alloc(attributeRecordSize), 0)
}

const openDescriptors = () => readdirSync('/proc/self/fd').length

testTrees('a directory that is not there, or is none', async (t, openTree) => {
  t.throws(() => openTree('/nonexistent'), { code: 'ENOENT' })
  t.throws(() => openTree('/etc/passwd'), { code: 'ENOTDIR' })
})

testTrees('one file is one object, by whatever name', async (t, openTree) => {
  const { directory, tree } = exported(t, {}, openTree)
  const idle = tree.size
  writeFileSync(join(directory, 'a'), '')
  linkSync(join(directory, 'a'), join(directory, 'b'))
  const a = find(tree, 'a')
  t.equal(find(tree, 'b'), a)
  tree.release(a)
  tree.release(a)
  t.same(tree.size, idle)
})

t.test('inodes give up descriptors and find their files again', async t => {
  const { directory, tree } = exported(t, { maxDescriptors: 40 })
  const before = openDescriptors()
  const nodes: TreeNode[] = []
  for (let i = 0; i < 20; i++) {
    mkdirSync(join(directory, `d${i}`))
    for (let j = 0; j < 20; j++) {
      writeFileSync(join(directory, `d${i}`, `f${j}`), '')
      nodes.push(find(tree, `d${i}`, `f${j}`))
    }
  }
  t.ok(openDescriptors() - before < 42, 'within the bound')
  t.equal(tree.size.inodes, 1 + 20 + 400)
  for (const node of nodes) t.ok(attributes(tree, node) >= 0)
  t.ok(openDescriptors() - before < 42)

  // Moved by us: found under the new name. Removed by us: kept. Moved or replaced by others: ESTALE.
  const root = tree.root
  t.equal(tree.rename(root, 'd0', root, 'moved'), 0)
  const d1 = find(tree, 'd1')
  t.equal(tree.unlink(d1, 'f0', false), 0)
  renameSync(join(directory, 'd2'), join(directory, 'elsewhere'))
  unlinkSync(join(directory, 'd3/f0'))
  writeFileSync(join(directory, 'd3/f0'), 'another')
  const found = nodes.map(node => attributes(tree, node))
  t.ok(found.slice(0, 40).every(result => result >= 0))
  t.ok(found.slice(41, 60).every(result => result === failure.ESTALE))
  t.ok(found.slice(61).every(result => result >= 0))
  const again = find(tree, 'elsewhere')
  t.ok(attributes(tree, nodes[45]!) >= 0, 'once seen under its new name, a directory is found again')
  t.ok(attributes(tree, nodes[20]!) >= 0, 'the removed one is still there')
  for (const node of [...nodes, d1, again]) tree.release(node)
  t.same(tree.size, { inodes: 1, descriptors: 1 })
})

t.test('open files keep their descriptors, and are refused when there are none left', async t => {
  const { directory, tree } = exported(t, { maxDescriptors: 40 })
  const files = []
  let refusal = 0
  for (let i = 0; i < 60; i++) {
    writeFileSync(join(directory, `f${i}`), `${i}`)
    const node = tree.lookup(tree.root, `f${i}`)
    if (typeof node === 'number') {
      refusal = node
      break
    }
    const file = tree.open(node, openFlag.read)
    tree.release(node)
    if (typeof file === 'number') {
      refusal = file
      break
    }
    files.push(file)
  }
  t.equal(refusal, failure.ENFILE)
  t.ok(files.length >= 15)
  const into = Buffer.alloc(10)
  for (const [i, file] of files.entries()) {
    const n = tree.read(file, into, 0, 10, 0n)
    t.equal(into.toString('latin1', 0, n), `${i}`)
  }
  for (const file of files) tree.close(file)
  t.same(tree.size, { inodes: 1, descriptors: 1 })
})

t.test('directories that others turn inside out make no ring', async t => {
  const { directory, tree } = exported(t)
  mkdirSync(join(directory, 'a/b'), { recursive: true })
  const a = find(tree, 'a')
  const b = find(tree, 'a', 'b')
  renameSync(join(directory, 'a/b'), join(directory, 'b'))
  renameSync(join(directory, 'a'), join(directory, 'b/a'))
  const below = tree.lookup(b, 'a') as TreeNode
  t.equal(below, a)
  t.equal(tree.lookup(b, '..'), failure.ESTALE, 'where b is now is not known')
  const seen = find(tree, 'b')
  t.equal(seen, b)
  const up = tree.lookup(a, '..')
  t.equal(up, b)
  for (const node of [a, b, below, seen, up as TreeNode]) tree.release(node)
  t.same(tree.size, { inodes: 1, descriptors: 1 })
})

testTrees('file systems below the root are told apart', async (t, openTree) => {
  const { directory, tree } = exported(t, {}, openTree)
  for (const name of ['m1', 'm2']) {
    mkdirSync(join(directory, name))
    execFileSync('mount', ['-t', 'tmpfs', 'none', join(directory, name)])
    t.teardown(() => execFileSync('umount', [join(directory, name)]))
    writeFileSync(join(directory, name, 'f'), name)
  }
  const ids = [find(tree, 'm1'), find(tree, 'm2'), find(tree, 'm1', 'f'), find(tree, 'm2', 'f'), tree.root]
  t.equal(new Set(ids.map(node => node.id)).size, 5)
  t.equal(tree.lookup(ids[0]!, '..'), tree.root)
  t.equal(tree.link(ids[2]!, ids[1]!, 'x'), -18, 'EXDEV')
  for (const node of ids.slice(0, 4)) tree.release(node)
})
