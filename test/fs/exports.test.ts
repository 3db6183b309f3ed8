// A tree that shows some paths alone: nothing else can be seen, named or changed, however it is asked for.

import { execFileSync } from 'node:child_process'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { failure } from '../../src/fs/failure.js'
import { openLocalTree } from '../../src/fs/local-tree.js'
import { attributeRecordSize, directoryRecordPrefix, openFlag, type TreeNode } from '../../src/fs/tree.js'
import { Random } from '../fixtures/random.js'
import { type OpenTree, type SizedTree, testTrees } from '../fixtures/trees.js'

/** home/me and usr are shown, bin is a link to usr/bin; everything else is not to be seen. */
function scene(t: Test, openTree: OpenTree, only: readonly string[] = ['/home/me', '/usr', '/bin']) {
  const directory = mkdtempSync('/tmp/exports-')
  for (const path of ['home/me/src', 'home/other', 'usr/bin', 'etc/secret']) {
    mkdirSync(join(directory, path), { recursive: true })
    writeFileSync(join(directory, path, 'file'), path)
  }
  writeFileSync(join(directory, 'home/secret'), 'secret')
  symlinkSync('usr/bin', join(directory, 'bin'))
  for (let i = 0; i < 500; i++) writeFileSync(join(directory, `hidden${i}`), '')
  const tree = openTree(directory, { only })
  t.teardown(() => {
    tree.dispose()
    rmSync(directory, { recursive: true })
  })
  return { directory, tree }
}

/** The node of a path, or the failure on the way. */
function walk(tree: SizedTree, path: string, from: TreeNode = tree.root): TreeNode | number {
  let node: TreeNode | number = from
  for (const name of path.split('/')) {
    node = tree.lookup(node, name)
    if (typeof node === 'number') return node
  }
  return node
}

function nodeAt(tree: SizedTree, path: string): TreeNode {
  const node = path === '' ? tree.root : walk(tree, path)
  if (typeof node === 'number') throw new Error(`${path}: ${node}`)
  return node
}

function namesIn(tree: SizedTree, path: string, bytes = 4096): string[] {
  const file = tree.open(nodeAt(tree, path), openFlag.read | openFlag.directory)
  if (typeof file === 'number') throw new Error(`open ${path}: ${file}`)
  const names: string[] = []
  const into = Buffer.alloc(bytes)
  for (let cookie = 0n, length = 0; ; ) {
    length = tree.readDirectory(file, cookie, into, 0, bytes)
    if (length < 0) throw new Error(`read ${path}: ${length}`)
    if (length === 0) break
    for (let at = 0; at < length; ) {
      const end = at + directoryRecordPrefix + into.readUInt16LE(at + directoryRecordPrefix - 2)
      names.push(into.toString('latin1', at + directoryRecordPrefix, end))
      cookie = into.readBigUInt64LE(at + 13)
      at = end
    }
  }
  tree.close(file)
  return names.filter(name => name !== '.' && name !== '..').sort()
}

testTrees('what is shown is all there, and the way to it is bare', async (t, openTree) => {
  const { tree } = scene(t, openTree)
  t.same(namesIn(tree, ''), ['bin', 'home', 'usr'])
  t.same(
    namesIn(tree, '', 64),
    ['bin', 'home', 'usr'],
    'with hundreds of others between them, in small pieces',
  )
  t.same(namesIn(tree, 'home'), ['me'])
  t.same(namesIn(tree, 'home/me'), ['src'])
  t.same(namesIn(tree, 'usr/bin'), ['file'])
  t.equal(nodeAt(tree, 'bin').kind, 'symlink')
  t.equal(tree.attributes(nodeAt(tree, 'home'), Buffer.alloc(attributeRecordSize), 0) >= 0, true)
})

testTrees('nothing else can be looked up, also from below', async (t, openTree) => {
  const { tree } = scene(t, openTree)
  for (const path of ['etc', 'hidden0', 'home/other', 'home/secret', 'etc/secret/file', 'home/..', 'usr/..'])
    t.equal(
      typeof walk(tree, `${path}/etc`) === 'number' && walk(tree, path),
      path.endsWith('..') ? tree.root : failure.ENOENT,
      path,
    )
  t.equal(walk(tree, 'home/me/src/../../other'), failure.ENOENT)
  t.equal(walk(tree, 'home/me/../secret'), failure.ENOENT)
})

testTrees('nothing is made, removed or changed on the way', async (t, openTree) => {
  const { tree, directory } = scene(t, openTree)
  const [root, home, me] = ['', 'home', 'home/me'].map(path => nodeAt(tree, path)) as [
    TreeNode,
    TreeNode,
    TreeNode,
  ]
  const before = [directory, join(directory, 'home')].map(path => readdirSync(path))
  const mode = lstatSync(join(directory, 'home')).mode
  const refused = {
    create: tree.create(root, 'new', openFlag.write, 0o644),
    'create over a hidden one': tree.create(home, 'secret', openFlag.write | openFlag.truncate, 0o644),
    mkdir: tree.makeDirectory(home, 'new', 0o755),
    symlink: tree.makeLink(root, 'new', 'etc'),
    link: tree.link(nodeAt(tree, 'usr/bin/file'), home, 'new'),
    'rename out': tree.rename(me, 'src', root, 'new'),
    'rename in': tree.rename(home, 'other', me, 'mine'),
    'rename what is shown': tree.renameNode(me, nodeAt(tree, 'usr'), 'me'),
    'rename over': tree.rename(me, 'src', home, 'other'),
    unlink: tree.unlink(home, 'secret', false),
    'remove what is shown': tree.unlinkNode(nodeAt(tree, 'bin')),
    chmod: tree.setAttributes(home, { mode: 0o700 }),
    utimes: tree.setAttributes(root, { modificationTime: 'now' }),
  }
  for (const [what, result] of Object.entries(refused)) t.equal(result, failure.EACCES, what)
  t.ok((tree.setXattr(home, 'user.a', Buffer.from('b'), 0) as number) < 0)
  t.same(
    [directory, join(directory, 'home')].map(path => readdirSync(path)),
    before,
  )
  t.equal(lstatSync(join(directory, 'home')).mode, mode)
})

testTrees('below what is shown everything works', async (t, openTree) => {
  const { tree, directory } = scene(t, openTree)
  const me = nodeAt(tree, 'home/me')
  t.type(tree.makeDirectory(me, 'new', 0o755), 'object')
  t.equal(tree.rename(me, 'new', nodeAt(tree, 'usr'), 'newer'), 0)
  t.ok(existsSync(join(directory, 'usr/newer')))
  t.equal(tree.setAttributes(me, { mode: 0o700 }), 0)
})

testTrees('what takes the place of a directory on the way shows no more than that', async (t, openTree) => {
  const { tree, directory } = scene(t, openTree)
  nodeAt(tree, 'home/me')
  const home = join(directory, 'home')
  renameSync(home, join(directory, 'was-home'))
  renameSync(join(directory, 'etc'), home)
  t.equal(walk(tree, 'home/secret'), failure.ENOENT)
  t.same(namesIn(tree, 'home'), [])
  rmSync(home, { recursive: true })
  writeFileSync(home, 'a file')
  t.equal(walk(tree, 'home'), failure.ENOENT, 'nor can a file be read there')
  rmSync(home)
  symlinkSync('etc', home)
  t.equal(nodeAt(tree, 'home').kind, 'symlink')
})

testTrees('what was moved away leads back only the way it came', async (t, openTree) => {
  const { tree, directory } = scene(t, openTree)
  const src = nodeAt(tree, 'home/me/src')
  renameSync(join(directory, 'home/me/src'), join(directory, 'etc/src'))
  const above = tree.lookup(src, '..')
  t.equal(above, walk(tree, 'home/me'))
  t.equal(walk(tree, '../../../etc', src), failure.ENOENT)
})

testTrees('the root itself shows everything, whatever else is named', async (t, openTree) => {
  const { tree } = scene(t, openTree, ['/usr', '/'])
  t.equal(typeof walk(tree, 'etc/secret/file'), 'object')
})

/** Everything that is not to be reached, as text, and the numbers of its files. */
function hidden(directory: string): { text: string; inodes: Set<bigint> } {
  const lines = execFileSync('find', ['.', '-printf', '%P %i %m %U %s %n %T@\n'], {
    cwd: directory,
    encoding: 'utf8',
  })
    .split('\n')
    .filter(line => !/^(home\/me|usr)[ /]|^(bin|home|) |^$/.test(line))
  return { text: lines.sort().join('\n'), inodes: new Set(lines.map(line => BigInt(line.split(' ')[1]!))) }
}

testTrees('whatever is asked for at random, nothing else is reached or changed', async (t, openTree) => {
  const { tree, directory } = scene(t, openTree)
  const before = hidden(directory)
  const random = new Random(20261121)
  const names = [
    'home',
    'me',
    'other',
    'secret',
    'etc',
    'usr',
    'bin',
    'file',
    'src',
    '..',
    '.',
    'hidden7',
    'new',
    'a/b',
    '',
  ]
  const record = Buffer.alloc(attributeRecordSize)
  let nodes: TreeNode[] = [tree.root]
  const seen = { found: 0, refused: 0 }
  for (let i = 0; i < 30_000; i++) {
    const [node, other, name, newName] = [
      random.pick(nodes),
      random.pick(nodes),
      random.pick(names),
      random.pick(names),
    ]
    const result = random.pick<() => TreeNode | number>([
      () => tree.lookup(node, name),
      () => tree.lookup(node, name),
      () => tree.lookup(node, '..'),
      () => tree.makeDirectory(node, name, 0o755),
      () => tree.makeLink(node, name, random.pick(['/etc/secret', '../../etc', 'file'])),
      () => tree.rename(node, name, other, newName),
      () => tree.renameNode(node, other, newName),
      () => tree.link(node, other, newName),
      () => tree.unlink(node, name, random.below(2) === 0),
      () => tree.unlinkNode(node),
      () => tree.setAttributes(node, { mode: 0o777 }),
      () => {
        const file = tree.create(
          node,
          name,
          openFlag.readWrite | (random.below(2) * openFlag.truncate),
          0o644,
        )
        if (typeof file === 'number') return file
        const { node: made } = file
        tree.retain(made)
        tree.write(file, Buffer.from('x'), 0, 1, 0n)
        tree.close(file)
        return made
      },
    ])()
    if (typeof result === 'number') {
      if (result < 0) seen.refused++
      continue
    }
    seen.found++
    const inode = BigInt.asUintN(48, result.id)
    if (before.inodes.has(inode)) throw new Error(`reached the file with number ${inode}`)
    tree.attributes(result, record, 0)
    nodes.push(result)
    if (nodes.length > 60) {
      for (const old of nodes.slice(1, 40)) tree.release(old)
      nodes = [tree.root, ...nodes.slice(40)]
    }
  }
  t.ok(seen.found > 3000 && seen.refused > 3000, JSON.stringify(seen))
  t.equal(hidden(directory).text, before.text)
})

t.test('nobody is told of what happens beside what is shown', async t => {
  const { tree, directory } = scene(t, openLocalTree as OpenTree)
  const names: string[] = []
  const watcher = tree.watch?.(change => 'name' in change && names.push(change.name))
  t.teardown(() => watcher?.close())
  for (const path of ['', 'home', 'home/me']) t.ok(watcher?.add(nodeAt(tree, path)))
  execFileSync('sh', ['-c', 'touch new home/new; rm home/secret; touch home/me/last'], { cwd: directory })
  for (let i = 0; i < 100 && !names.includes('last'); i++)
    await new Promise(resolve => setTimeout(resolve, 50))
  t.same([...new Set(names)], ['last'])
})
