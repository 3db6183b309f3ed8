// The other side tries to get out of the export, with help from inside the machine.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { failure } from '../../src/fs/failure.js'
import { openLocalTree } from '../../src/fs/local-tree.js'
import { type FileTree, openFlag } from '../../src/fs/tree.js'
import { type OpenTree, testTrees } from '../fixtures/trees.js'

const SECRET = 'outside'

function scene(t: Test, openTree: OpenTree) {
  const directory = mkdtempSync('/tmp/escape-')
  mkdirSync(join(directory, 'export/inside'), { recursive: true })
  mkdirSync(join(directory, 'outside'))
  writeFileSync(join(directory, 'outside/f'), SECRET)
  writeFileSync(join(directory, 'export/inside/f'), 'inside')
  const tree = openTree(join(directory, 'export'))
  t.teardown(() => {
    tree.dispose()
    rmSync(directory, { recursive: true })
  })
  return { directory, tree }
}

testTrees('links are never followed', async (t, openTree) => {
  const { directory, tree } = scene(t, openTree)
  for (const [name, target] of [
    ['absolute', join(directory, 'outside')],
    ['relative', '../outside'],
    ['file', '../outside/f'],
    ['magic', '/proc/self/cwd'],
    ['root', '/proc/1/root'],
  ] as const) {
    symlinkSync(target, join(directory, 'export', name))
    const link = tree.lookup(tree.root, name)
    if (typeof link === 'number') throw new Error(name)
    t.equal(link.kind, 'symlink')
    t.equal(tree.lookup(link, 'f'), failure.ENOTDIR)
    t.equal(tree.open(link, openFlag.read), failure.ELOOP)
    t.equal(tree.create(tree.root, name, openFlag.write, 0o644), failure.ELOOP)
    t.equal(tree.create(link, 'new', openFlag.write, 0o644), failure.ENOTDIR)
    t.equal(tree.makeDirectory(link, 'new', 0o755), failure.ENOTDIR)
    t.equal(tree.rename(link, 'f', tree.root, 'got'), failure.ENOTDIR)
    t.equal(tree.unlink(link, 'f', false), failure.ENOTDIR)
    t.equal(tree.setAttributes(link, { size: 0n }), failure.EINVAL)
    t.ok(tree.setAttributes(link, { mode: 0o777 }) < 0, 'a link has no mode')
    t.ok(tree.setXattr(link, 'user.x', Buffer.from('x'), 0) < 0)
    tree.release(link)
  }
})

testTrees('names are one component', async (t, openTree) => {
  const { tree } = scene(t, openTree)
  const { root } = tree
  for (const name of [
    '..',
    '../outside/f',
    '/etc/passwd',
    'inside/f',
    'inside/../../outside/f',
    '.',
    '',
    'a\0b',
  ]) {
    if (name !== '..') t.ok((tree.lookup(root, name) as number) < 0, JSON.stringify(name))
    t.ok((tree.create(root, name, openFlag.readWrite, 0o644) as number) < 0)
    t.ok((tree.makeDirectory(root, name, 0o755) as number) < 0)
    t.ok((tree.makeLink(root, name, 'x') as number) < 0)
    t.ok((tree.makeNode(root, name, 0o100644, 0, 0) as number) < 0)
    t.ok(tree.rename(root, name, root, 'x') < 0)
    t.ok(tree.rename(root, 'inside', root, name) < 0)
    t.ok(tree.unlink(root, name, true) < 0)
    t.ok(tree.link(root, root, name) < 0)
  }
  t.equal(tree.lookup(root, '..'), root)
})

testTrees('a directory moved out of the export does not lead above itself', async (t, openTree) => {
  const { directory, tree } = scene(t, openTree)
  const inside = tree.lookup(tree.root, 'inside')
  if (typeof inside === 'number') throw new Error('lookup')
  renameSync(join(directory, 'export/inside'), join(directory, 'outside/moved'))
  t.equal(tree.lookup(inside, '..'), tree.root, "the parent is the tree's own")
})

/** Exchanges export/x, by rename, between a directory inside and a link to outside, until it is killed. */
const swapper = `
  const { renameSync, symlinkSync, mkdirSync, writeFileSync } = require('node:fs')
  process.chdir(process.argv[1])
  mkdirSync('export/real'); writeFileSync('export/real/f', 'inside'); symlinkSync('../outside', 'export/fake')
  console.log('ready')
  for (;;) {
    renameSync('export/real', 'export/x'); renameSync('export/x', 'export/real')
    renameSync('export/fake', 'export/x'); renameSync('export/x', 'export/fake')
  }`

t.test('a link swapped in while names are walked', async t => {
  const { directory, tree } = scene(t, openLocalTree)
  const child = spawn(process.execPath, ['-e', swapper, directory], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  const seen = { inside: 0, outside: 0, refused: 0 }
  for (const end = Date.now() + 4000; Date.now() < end; ) for (let i = 0; i < 500; i++) seen[attempt(tree)]++
  child.kill('SIGKILL')
  await once(child, 'exit')
  t.equal(seen.outside, 0)
  t.ok(seen.inside > 0 && seen.refused > 0, JSON.stringify(seen))
})

const content = Buffer.alloc(100)

function attempt(tree: FileTree): 'inside' | 'outside' | 'refused' {
  const x = tree.lookup(tree.root, 'x')
  if (typeof x === 'number') return 'refused'
  const f = tree.lookup(x, 'f')
  tree.release(x)
  if (typeof f === 'number') return 'refused'
  const file = tree.open(f, openFlag.read)
  tree.release(f)
  if (typeof file === 'number') return 'refused'
  const length = tree.read(file, content, 0, content.length, 0n)
  tree.close(file)
  return content.toString('latin1', 0, Math.max(0, length)) === SECRET ? 'outside' : 'inside'
}
