// A kernel's open flags come as its own architecture has them.
import fs from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { openLocalTree } from '../../src/fs/local-tree.js'
import { FuseClient } from '../fixtures/fuse-client.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const ROOT = 1

/** Those of arch/arm64/include/uapi/asm/fcntl.h, and what x86 has instead, of asm-generic/fcntl.h. */
const architectures = {
  arm64: { O_DIRECTORY: 0o40000, O_NOFOLLOW: 0o100000, O_DIRECT: 0o200000, O_LARGEFILE: 0o400000 },
  x86: { O_DIRECTORY: 0o200000, O_NOFOLLOW: 0o400000, O_DIRECT: 0o40000, O_LARGEFILE: 0o100000 },
}
const [O_RDWR, O_EXCL, O_TRUNC] = [0o2, 0o200, 0o1000]

for (const [name, { O_DIRECTORY, O_NOFOLLOW, O_DIRECT, O_LARGEFILE }] of Object.entries(architectures)) {
  t.test(`a kernel of ${name}`, async t => {
    const root = temporaryDirectory(t)
    fs.mkdirSync(path.join(root, 'directory'))
    fs.writeFileSync(path.join(root, 'file'), 'content')
    const tree = openLocalTree(root)
    const client = new FuseClient(tree, { policy: 'strict' })
    t.teardown(async () => {
      client.stream.destroy()
      await client.served
      tree.dispose()
    })
    await client.init()
    const [file, directory] = await Promise.all(
      ['file', 'directory'].map(entry => client.lookup(ROOT, entry)),
    )
    const open = async (node: number, flags: number) => (await client.call('OPEN', node, { flags })).error
    t.equal(await open(file!, O_RDWR | O_DIRECT | O_LARGEFILE), '')
    t.equal(await open(file!, O_NOFOLLOW | O_LARGEFILE), '')
    const opened = await client.call('OPENDIR', directory!, { flags: O_DIRECTORY | O_NOFOLLOW | O_LARGEFILE })
    t.equal(opened.error, '')
    const create = async (flags: number) =>
      (await client.call('CREATE', ROOT, { name: 'file', flags, mode: 0o644 })).error
    t.equal(await create(O_RDWR | O_EXCL | O_DIRECT), 'EEXIST')
    t.equal(await create(O_RDWR | O_DIRECT | O_LARGEFILE), '')
    t.equal(fs.readFileSync(path.join(root, 'file'), 'utf8'), 'content')
    t.equal(await open(file!, O_RDWR | O_TRUNC | O_DIRECT), '')
    t.equal(fs.statSync(path.join(root, 'file')).size, 0)
  })
}
