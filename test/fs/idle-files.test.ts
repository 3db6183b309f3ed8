// When there are no more descriptors, those who keep files open only for the sake of speed are asked for them.
import fs from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { failure } from '../../src/fs/failure.js'
import { openLocalTree } from '../../src/fs/local-tree.js'
import { openPathTree } from '../../src/fs/path-tree.js'
import { type FileTree, type OpenFile, openFlag } from '../../src/fs/tree.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const openers: Readonly<Record<string, (directory: string) => FileTree>> = {
  descriptors: directory => openLocalTree(directory, { maxDescriptors: 60 }),
  paths: openPathTree,
}

for (const [kind, openTree] of Object.entries(openers))
  t.test(`by ${kind}`, async t => {
    const directory = temporaryDirectory(t)
    fs.writeFileSync(path.join(directory, 'f'), 'content')
    const tree = openTree(directory)
    t.teardown(() => tree.dispose())
    const node = tree.lookup(tree.root, 'f')
    if (typeof node === 'number') throw new Error('lookup')
    const idle: OpenFile[] = []
    let last = tree.open(node, openFlag.read)
    for (; typeof last === 'object'; last = tree.open(node, openFlag.read)) idle.push(last)
    t.equal(last, failure.ENFILE)

    const end = tree.onShortage(() => {
      const file = idle.pop()
      if (file !== undefined) tree.close(file)
      return file !== undefined
    })
    const count = idle.length
    t.type(tree.open(node, openFlag.read), 'object')
    t.equal(idle.length, count - 1, 'no more than it takes')
    t.type(tree.create(tree.root, 'new', openFlag.write, 0o644), 'object')
    t.ok(idle.length < count - 1)
    end()
    t.equal(tree.open(node, openFlag.read), failure.ENFILE, 'not asked any more')
    t.equal(tree.create(tree.root, 'other', openFlag.write, 0o644), failure.ENFILE)
    t.same(fs.readdirSync(directory), ['f', 'new'], 'nothing half made')
  })
