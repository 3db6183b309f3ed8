// Reading what is not in memory, and changing what is open although its mode forbids it by now.

import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { failure } from '../../src/fs/failure.js'
import { openLocalTree } from '../../src/fs/local-tree.js'
import { openFlag } from '../../src/fs/tree.js'
import { NinepServer } from '../fixtures/ninep-client.js'
import { type OpenTree, testTrees } from '../fixtures/trees.js'

function exported(t: Test, openTree: OpenTree, parent: string) {
  const directory = mkdtempSync(join(parent, 'export-'))
  const tree = openTree(directory)
  t.teardown(() => {
    tree.dispose()
    rmSync(directory, { recursive: true })
  })
  return { directory, tree }
}

/** Writes the file back and drops it from the page cache. */
const dropped = `
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
os.fsync(fd)
os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)`

t.test('what is not in memory is read by another thread, and arrives whole', async t => {
  const { directory, tree } = exported(t, openLocalTree, '/var/tmp')
  const content = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i * 7919) >> 5))
  writeFileSync(join(directory, 'f'), content)
  const server = new NinepServer(tree)
  t.teardown(() => server.close())
  const { client, root } = await server.attached()
  const file = await client.open(root, 'f')
  let waited = 0
  const { readWaiting } = tree
  tree.readWaiting = (...args: Parameters<typeof readWaiting>) => {
    waited++
    return readWaiting.apply(tree, args)
  }
  for (let round = 0; round < 5; round++) {
    execFileSync('python3', ['-c', dropped, join(directory, 'f')])
    const offsets = [2_500_000, 0, 1_000_000, 2_999_990, 1_500_000, 3_000_000]
    const parts = await Promise.all(offsets.map(offset => client.read(file, BigInt(offset), 500_000)))
    for (const [i, part] of parts.entries()) {
      const offset = offsets[i]!
      t.ok(part.equals(content.subarray(offset, offset + part.length)))
      t.ok(part.length > 0 || offset === content.length)
    }
  }
  t.ok(waited > 0, `${waited} reads had to wait`)
  const inMemory = waited
  await client.read(file, 0n, 4096)
  await client.read(file, 0n, 4096)
  t.equal(waited, inMemory, 'none of what was read before')
})

testTrees('a file open for writing can be cut by a name that may not be written', async (t, openTree) => {
  const { directory, tree } = exported(t, openTree, '/tmp')
  const path = join(directory, 'f')
  writeFileSync(path, 'content')
  const node = tree.lookup(tree.root, 'f')
  if (typeof node === 'number') throw new Error('lookup')
  const file = tree.open(node, openFlag.write)
  if (typeof file === 'number') throw new Error('open')
  chmodSync(path, 0o444)
  chmodSync(directory, 0o755)
  process.seteuid!(65534)
  try {
    t.equal(tree.setAttributes(node, { size: 3n }), 0)
    tree.close(file)
    t.equal(tree.setAttributes(node, { size: 1n }), failure.EACCES, 'not any more')
  } finally {
    process.seteuid!(0)
  }
  t.equal(statSync(path).size, 3)
  tree.release(node)
})
