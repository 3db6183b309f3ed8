// Which file is which: inode numbers that are used again, that are longer than others, and files very deep down.

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { fileId } from '../../src/fs/device.js'
import { failure } from '../../src/fs/failure.js'
import { type LocalTree, type LocalTreeOptions, openLocalTree } from '../../src/fs/local-tree.js'
import { attributeRecordSize, openFlag } from '../../src/fs/tree.js'
import { parseEntries } from '../fixtures/ninep-client.js'

type Node = LocalTree['root']

function exported(t: Test, options: LocalTreeOptions = {}) {
  const directory = mkdtempSync('/tmp/export-')
  const tree = openLocalTree(directory, options)
  t.teardown(() => {
    tree.dispose()
    execFileSync('rm', ['-rf', directory])
  })
  return { directory, tree }
}

function find(tree: LocalTree, from: Node, name: string): Node {
  const node = tree.lookup(from, name)
  if (typeof node === 'number') throw new Error(`${name}: ${node}`)
  return node
}

const attributes = (tree: LocalTree, node: Node) =>
  tree.attributes(node, Buffer.alloc(attributeRecordSize), 0)

/** Takes the descriptors of all that are not in use. */
function evict(tree: LocalTree, directory: string): void {
  mkdirSync(join(directory, 'many'))
  const many = find(tree, tree.root, 'many')
  const nodes: Node[] = []
  for (let i = 0; i < 60; i++) {
    writeFileSync(join(directory, 'many', `${i}`), '')
    nodes.push(find(tree, many, `${i}`))
  }
  for (const node of [...nodes, many]) tree.release(node)
}

t.test('a file with the inode number of one that is gone is another file', async t => {
  const { directory, tree } = exported(t, { maxDescriptors: 32 })
  const path = join(directory, 'f')
  let reused = 0
  for (let i = 0; i < 20; i++) {
    writeFileSync(path, 'before')
    const { ino } = statSync(path)
    const before = find(tree, tree.root, 'f')
    evict(tree, directory)
    rmSync(join(directory, 'many'), { recursive: true })
    unlinkSync(path)
    // Births are told apart by the kernel's clock tick.
    execFileSync('sleep', ['0.02'])
    writeFileSync(path, 'after')
    if (statSync(path).ino === ino) reused++
    t.equal(attributes(tree, before), failure.ESTALE)
    const after = find(tree, tree.root, 'f')
    t.not(after, before)
    t.ok(attributes(tree, after) >= 0)
    t.equal(attributes(tree, before), failure.ESTALE)
    tree.release(before)
    t.ok(attributes(tree, after) >= 0)
    tree.release(after)
    t.same(tree.size, { inodes: 1, descriptors: 1 })
  }
  t.comment(`the number was used again ${reused} times of 20`)
})

t.test('numbers of more than 48 bits: the same for a file and in a listing', async t => {
  const directory = mkdtempSync('/tmp/overlay-')
  execFileSync('mount', ['-t', 'tmpfs', 'none', directory])
  t.teardown(() => {
    execFileSync('umount', [directory])
    rmSync(directory, { recursive: true })
  })
  // An overlay of two file systems keeps them apart by the highest bits of its inode numbers.
  for (const name of ['lower', 'rw', 'merged']) mkdirSync(join(directory, name))
  for (const name of ['lower', 'rw']) {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'inode64', 'none', join(directory, name)])
    t.teardown(() => execFileSync('umount', [join(directory, name)]))
  }
  for (const name of ['rw/upper', 'rw/work', 'lower/d']) mkdirSync(join(directory, name))
  for (let i = 0; i < 50; i++) writeFileSync(join(directory, 'lower', `f${i}`), '')
  const layers = ['lowerdir=lower', 'upperdir=rw/upper', 'workdir=rw/work', 'xino=on'].join(',')
  execFileSync('mount', ['-t', 'overlay', '-o', layers, 'none', 'merged'], { cwd: directory })
  t.teardown(() => execFileSync('umount', [join(directory, 'merged')]))
  const ino = BigInt.asUintN(64, statSync(join(directory, 'merged/f1'), { bigint: true }).ino)
  t.ok(ino >> 48n > 0n, `such as ${ino}`)

  const tree = openLocalTree(join(directory, 'merged'))
  t.teardown(() => tree.dispose())
  const file = tree.open(tree.root, openFlag.read)
  if (typeof file === 'number') throw new Error('open')
  const into = Buffer.alloc(65536)
  const length = tree.readDirectory(file, 0n, into, 0, into.length)
  const entries = parseEntries(into.subarray(0, length)).filter(({ name }) => name.startsWith('f'))
  t.equal(entries.length, 50)
  t.equal(new Set(entries.map(({ qid }) => qid.path)).size, 50)
  for (const { name, qid } of entries) {
    const node = find(tree, tree.root, name)
    t.equal(qid.path, node.id, name)
    tree.release(node)
  }
  tree.close(file)
})

t.test('ids', async t => {
  t.equal(fileId(0n, 5n), 5n)
  t.equal(fileId(3n << 48n, 5n), (3n << 48n) | 5n)
  const long = [
    fileId(0n, 1n << 48n),
    fileId(0n, (1n << 48n) + 1n),
    fileId(1n << 48n, 1n << 48n),
    fileId(1n << 63n, 1n),
  ]
  t.equal(new Set(long).size, 4)
  t.ok(long.every(id => id >> 63n === 1n))
})

t.test('as deep as a path can be, with few descriptors, and no deeper', async t => {
  const { tree } = exported(t, { maxDescriptors: 40 })
  const chain: Node[] = []
  let node = tree.root
  for (;;) {
    const below = tree.makeDirectory(node, 'x', 0o755)
    if (typeof below === 'number') {
      t.equal(below, failure.ENAMETOOLONG)
      break
    }
    chain.push(below)
    node = below
  }
  t.equal(chain.length, 2047)
  t.ok(attributes(tree, chain[0]!) >= 0)
  t.ok(attributes(tree, chain[1000]!) >= 0)
  t.ok(attributes(tree, chain.at(-1)!) >= 0, 'found again from the top')
  for (const each of chain) tree.release(each)
  t.same(tree.size, { inodes: 1, descriptors: 1 })
})
