// What a hostile kernel, or what poses as one, can say to the server.
import fs from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { failure } from '../../src/fs/failure.js'
import { openLocalTree } from '../../src/fs/local-tree.js'
import { requests } from '../../src/fuse/messages.js'
import type { ServeFuseOptions } from '../../src/fuse/serve.js'
import { FuseClient } from '../fixtures/fuse-client.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const ROOT = 1

/** A server of `export`, beside which there is a secret. */
async function serve(t: Test, options: ServeFuseOptions = {}) {
  const directory = temporaryDirectory(t)
  const root = path.join(directory, 'export')
  fs.mkdirSync(path.join(root, 'd'), { recursive: true })
  fs.writeFileSync(path.join(root, 'f'), 'content')
  fs.writeFileSync(path.join(directory, 'secret'), 'secret')
  fs.symlinkSync('../secret', path.join(root, 'link'))
  const tree = openLocalTree(root)
  const client = new FuseClient(tree, options)
  t.teardown(async () => {
    client.stream.destroy()
    await client.served
    tree.dispose()
  })
  return { client, root, tree }
}

t.test('the first word must be INIT, said once, in a version that is known', async t => {
  const { client } = await serve(t)
  t.equal((await client.call('GETATTR', ROOT)).error, 'EPROTO')
  t.equal((await client.init()).error, '')
  t.equal((await client.init()).error, 'ECONNRESET')
  const old = await serve(t)
  const version = { major: 7, minor: 30, maxReadahead: 0, flags: 0 }
  t.equal((await old.client.call('INIT', 0, version)).error, 'ECONNRESET')
})

t.test('nodes and handles that were never told', async t => {
  const { client } = await serve(t)
  await client.init()
  const file = await client.lookup(ROOT, 'f')
  for (const node of [0, 99, 2 ** 32, 2 ** 53]) {
    t.equal((await client.call('GETATTR', node)).error, 'ESTALE')
    t.equal((await client.call('LOOKUP', node, { name: 'f' })).error, 'ESTALE')
    t.equal((await client.call('READ', node, { size: 10 })).error, 'ESTALE')
    t.equal((await client.call('LINK', ROOT, { oldnodeid: BigInt(node), name: 'x' })).error, 'ESTALE')
    t.equal(
      (await client.call('RENAME', ROOT, { newdir: BigInt(node), name: 'f', newname: 'g' })).error,
      'ESTALE',
    )
  }
  for (const fh of [1n, 77n, 0xffff_ffff_ffff_ffffn])
    t.equal((await client.call('READ', file, { fh, size: 10 })).error, 'EBADF')
  t.equal((await client.call('RELEASE', file, { fh: 77n })).error, '')
})

t.test('a handle is of its own file', async t => {
  const { client } = await serve(t, { policy: 'strict' })
  await client.init()
  const made = await client.call('CREATE', ROOT, { name: 'new', flags: 0o2, mode: 0o100644 })
  const fh = made.body.readBigUInt64LE(128)
  const other = await client.lookup(ROOT, 'f')
  t.equal((await client.call('READ', other, { fh, size: 10 })).error, 'EBADF')
  t.equal((await client.call('SETATTR', other, { valid: (1 << 6) | (1 << 3), fh, size: 0n })).error, 'EBADF')
  t.equal((await client.call('READ', Number(made.body.readBigUInt64LE(0)), { fh, size: 10 })).error, '')
})

t.test('a kernel before 6.9 does not say what it closes, where it opens without asking', async t => {
  const { client } = await serve(t)
  await client.init()
  const descriptors = () => fs.readdirSync('/proc/self/fd').length
  const before = descriptors()
  for (let number = 0; number < 2000; number++) {
    const made = await client.call('CREATE', ROOT, { name: `${number}`, flags: 0o2, mode: 0o100644 })
    const node = Number(made.body.readBigUInt64LE(0))
    t.equal((await client.call('WRITE', node, { size: 4, data: Buffer.from('text') })).error, '')
    t.equal((await client.call('UNLINK', ROOT, { name: `${number}` })).error, '')
    if (number % 2 === 0) void client.call('FORGET', node, { nlookup: 1n })
  }
  await client.call('GETATTR', ROOT)
  t.ok(descriptors() - before < 1500, `${descriptors() - before} more descriptors for 1000 nodes`)
})

t.test('no way out of the export', async t => {
  const { client, root } = await serve(t)
  await client.init()
  for (const name of ['../secret', 'd/../f', '/etc/passwd', '.', '', 'd/']) {
    const { error, body } = await client.call('LOOKUP', ROOT, { name })
    t.ok(error !== '' || body.readBigUInt64LE(0) === 0n, `${JSON.stringify(name)} is not there`)
  }
  const up = await client.lookup(ROOT, '..')
  t.equal(up, ROOT, 'the root is its own parent')
  const link = await client.lookup(ROOT, 'link')
  t.equal((await client.call('READ', link, { size: 10 })).error, 'ELOOP')
  t.equal((await client.call('OPENDIR', link)).error, 'ENOSYS')
  t.equal((await client.call('LOOKUP', link, { name: 'x' })).error, 'ENOTDIR')
  for (const name of ['../made', 'd/made', '..', '.', ''])
    for (const call of ['MKDIR', 'MKNOD', 'CREATE'] as const)
      t.not((await client.call(call, ROOT, { name, mode: 0o100644 })).error, '', `${call} ${name}`)
  t.not((await client.call('RENAME', ROOT, { newdir: 1n, name: 'f', newname: '../f' })).error, '')
  t.same(fs.readdirSync(path.dirname(root)).sort(), ['export', 'secret'])
})

t.test('devices and pipes are not opened', async t => {
  const { client } = await serve(t)
  await client.init()
  t.equal((await client.call('MKNOD', ROOT, { name: 'pipe', mode: 0o010644 })).error, '')
  t.equal((await client.call('READ', await client.lookup(ROOT, 'pipe'), { size: 10 })).error, 'ENXIO')
  if (process.getuid?.() === 0) {
    t.equal((await client.call('MKNOD', ROOT, { name: 'zero', mode: 0o020644, rdev: 0x105 })).error, '')
    t.equal((await client.call('READ', await client.lookup(ROOT, 'zero'), { size: 10 })).error, 'EACCES')
  }
})

t.test('more is forgotten than was told', async t => {
  const { client, tree } = await serve(t)
  await client.init()
  const before = tree.size.inodes
  const file = await client.lookup(ROOT, 'f')
  await client.lookup(ROOT, 'f')
  void client.call('FORGET', file, { nlookup: 1n })
  t.equal((await client.call('GETATTR', file)).error, '', 'once is not enough')
  void client.call('FORGET', file, { nlookup: 0xffff_ffff_ffff_ffffn })
  t.equal((await client.call('GETATTR', file)).error, 'ESTALE')
  void client.call('FORGET', ROOT, { nlookup: 1000n })
  void client.call('FORGET', 12_345, { nlookup: 1n })
  t.equal((await client.call('GETATTR', ROOT)).error, '', 'the root stays')
  t.equal(tree.size.inodes, before)
})

t.test('frames that cannot be', async t => {
  for (const length of [0, 15, 39, 2 ** 30, 0xffff_ffff]) {
    const { client } = await serve(t)
    await client.init()
    const bytes = Buffer.alloc(64)
    bytes.writeUInt32LE(length, 0)
    client.stream.write(bytes)
    await client.served
    t.pass(`a length of ${length} ends it`)
  }
})

t.test('requests that are too short, unknown, or repeated', async t => {
  const { client } = await serve(t)
  await client.init()
  for (const { opcode } of Object.values(requests)) {
    if (opcode === requests.INIT.opcode) continue
    const unique = client.nextUnique()
    const header = Buffer.alloc(40)
    header.writeUInt32LE(40, 0)
    header.writeUInt32LE(opcode, 4)
    header.writeBigUInt64LE(unique, 8)
    header.writeBigUInt64LE(1n, 16)
    const { error } = await client.exchange(header, unique)
    t.not(error, 'ECONNRESET', `opcode ${opcode}`)
  }
  const unknown = Buffer.alloc(40)
  unknown.writeUInt32LE(40, 0)
  unknown.writeUInt32LE(4242, 4)
  unknown.writeBigUInt64LE(99_999n, 8)
  t.equal((await client.exchange(unknown, 99_999n)).error, 'ENOSYS')
})

t.test('interrupts of nothing, many of them', async t => {
  const { client } = await serve(t)
  await client.init()
  for (let i = 0; i < 10_000; i++) void client.call('INTERRUPT', 0, { unique: BigInt(i) })
  t.equal((await client.call('GETATTR', ROOT)).error, '')
})

t.test('a lock that waits is given up when interrupted', async t => {
  const { client } = await serve(t, { policy: 'strict' })
  await client.init()
  const file = await client.lookup(ROOT, 'f')
  const lock = { start: 0n, end: 9n, type: 1 }
  const handles = await Promise.all(
    [0, 1].map(async () => (await client.call('OPEN', file, { flags: 0o2 })).body.readBigUInt64LE(0)),
  )
  t.equal((await client.call('SETLK', file, { ...lock, fh: handles[0]!, owner: 1n })).error, '')
  t.equal((await client.call('SETLK', file, { ...lock, fh: handles[1]!, owner: 2n })).error, 'EAGAIN')
  const unique = client.nextUnique()
  const waiting = client.call('SETLKW', file, { ...lock, fh: handles[1]!, owner: 2n }, unique)
  void client.call('INTERRUPT', 0, { unique })
  t.equal((await waiting).error, 'EINTR')
  void client.call('FLUSH', file, { fh: handles[0]!, lockOwner: 1n })
  t.equal(
    (await client.call('SETLK', file, { ...lock, fh: handles[1]!, owner: 2n })).error,
    '',
    'a close gives it back',
  )
})

t.test('as many nodes and handles as are allowed', async t => {
  const { client, root } = await serve(t, { maxNodes: 50 })
  await client.init()
  for (let i = 0; i < 100; i++) fs.writeFileSync(path.join(root, `f${i}`), '')
  let refused = 0
  for (let i = 0; i < 100; i++)
    if ((await client.call('LOOKUP', ROOT, { name: `f${i}` })).error === 'ENFILE') refused++
  t.ok(refused >= 50 && refused < 60, `${refused} refused`)
  t.equal((await client.call('GETATTR', ROOT)).error, '')
})

t.test('more files read and written without an open than there are descriptors', async t => {
  const directory = temporaryDirectory(t)
  const names = Array.from({ length: 100 }, (_, i) => `f${i}`)
  for (const name of names) fs.writeFileSync(path.join(directory, name), 'content')
  const tree = openLocalTree(directory, { maxDescriptors: 60 })
  const client = new FuseClient(tree)
  t.teardown(() => client.stream.destroy())
  await client.init()
  const failed: string[] = []
  for (const name of names) {
    const file = await client.lookup(ROOT, name)
    const read = await client.call('READ', file, { size: 100 })
    const written = await client.call('WRITE', file, { size: 1, data: Buffer.from('C') })
    const made = await client.call('CREATE', ROOT, { name: `${name}-new`, flags: 1, mode: 0o100644 })
    if (read.body.toString() !== 'content' || written.error !== '' || made.error !== '')
      failed.push(`${name} ${read.error} ${written.error} ${made.error}`)
  }
  t.same(failed, [])
})

t.test('a write takes set-user-id away where the kernel asks for that, also one that waits', async t => {
  const { client, root, tree } = await serve(t)
  await client.init()
  const file = await client.lookup(ROOT, 'f')
  const write = (writeFlags: number) =>
    client.call('WRITE', file, { size: 1, data: Buffer.from('x'), writeFlags })
  const local = path.join(root, 'f')
  const modeAfter = async (writeFlags: number) => {
    fs.chmodSync(local, 0o6755)
    t.equal((await write(writeFlags)).body.readUInt32LE(0), 1)
    return fs.statSync(local).mode & 0o7777
  }
  const killSuidgid = 1 << 2
  t.equal(await modeAfter(killSuidgid), 0o755)
  // As of files of procfs and the like.
  Object.assign(tree, { write: () => failure.EAGAIN })
  t.equal(await modeAfter(killSuidgid), 0o755)
})

t.test('a read-only export', async t => {
  const directory = temporaryDirectory(t)
  fs.writeFileSync(path.join(directory, 'f'), 'content')
  const tree = openLocalTree(directory, { readOnly: true })
  const client = new FuseClient(tree)
  t.teardown(() => client.stream.destroy())
  await client.init()
  const file = await client.lookup(ROOT, 'f')
  const calls = {
    WRITE: () => client.call('WRITE', file, { size: 1, data: Buffer.from('x') }),
    SETATTR: () => client.call('SETATTR', file, { valid: 1, mode: 0o600 }),
    CREATE: () => client.call('CREATE', ROOT, { name: 'n', mode: 0o100644 }),
    MKDIR: () => client.call('MKDIR', ROOT, { name: 'n', mode: 0o755 }),
    MKNOD: () => client.call('MKNOD', ROOT, { name: 'n', mode: 0o100644 }),
    SYMLINK: () => client.call('SYMLINK', ROOT, { name: 'n', target: 'f' }),
    LINK: () => client.call('LINK', ROOT, { oldnodeid: BigInt(file), name: 'n' }),
    UNLINK: () => client.call('UNLINK', ROOT, { name: 'f' }),
    RENAME: () => client.call('RENAME', ROOT, { newdir: 1n, name: 'f', newname: 'g' }),
    SETXATTR: () => client.call('SETXATTR', file, { size: 1, name: 'user.x', value: Buffer.from('x') }),
    REMOVEXATTR: () => client.call('REMOVEXATTR', file, { name: 'user.x' }),
  }
  for (const [name, call] of Object.entries(calls)) t.equal((await call()).error, 'EROFS', name)
  t.equal((await client.call('READ', file, { size: 100 })).body.toString(), 'content')
  t.same(fs.readdirSync(directory), ['f'])
})
