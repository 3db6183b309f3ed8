// PathTree as a 9P client sees it, and what only paths make difficult. What it has in common with LocalTree is tested
// with both in escape.test.ts, local-tree.test.ts, data.test.ts, and in test/9p.

import { deepEqual } from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { failure } from '../../src/fs/failure.js'
import { failureOf, systemFlags, toNumber } from '../../src/fs/path-system.js'
import { openPathTree } from '../../src/fs/path-tree.js'
import { attributeRecordSize, openFlag } from '../../src/fs/tree.js'
import { NinepServer } from '../fixtures/ninep-client.js'

function exported(t: Test, readOnly = false) {
  const directory = mkdtempSync('/tmp/export-')
  const tree = openPathTree(directory, { readOnly })
  t.teardown(() => {
    tree.dispose()
    rmSync(directory, { recursive: true })
  })
  return { directory, tree }
}

async function served(t: Test, readOnly = false) {
  const { directory, tree } = exported(t, readOnly)
  const server = new NinepServer(tree)
  t.teardown(async () => {
    await server.close()
    deepEqual(tree.size, { inodes: 1, descriptors: 0 }, 'nothing but the root is left')
  })
  return { directory, tree, ...(await server.attached()) }
}

t.test('attributes are those of stat', async t => {
  const { directory, client, root } = await served(t)
  writeFileSync(join(directory, 'f'), 'hello')
  mkdirSync(join(directory, 'd'), 0o711)
  symlinkSync('nowhere', join(directory, 'l'))
  for (const name of ['f', 'd', 'l', '']) {
    const fid = await client.walk(root, ...(name === '' ? [] : [name]))
    const remote = await client.attributes(fid)
    const local = lstatSync(join(directory, name), { bigint: true })
    t.equal(remote.valid & 0x1fffn, 0x1fffn)
    t.match(local, {
      mode: BigInt(remote.mode),
      uid: BigInt(remote.uid),
      gid: BigInt(remote.gid),
      nlink: remote.nlink,
      size: remote.size,
      blksize: remote.blksize,
      blocks: remote.blocks,
      ino: remote.qid.path,
      atimeNs: remote.atimeSec * 1_000_000_000n + remote.atimeNsec,
      mtimeNs: remote.mtimeSec * 1_000_000_000n + remote.mtimeNsec,
      ctimeNs: remote.ctimeSec * 1_000_000_000n + remote.ctimeNsec,
      birthtimeNs: remote.btimeSec * 1_000_000_000n + remote.btimeNsec,
    })
    t.same([remote.rdev, remote.gen], [0n, 0n])
  }
  const { blocks, bsize, namelen, type } = await client.call('Tstatfs', { fid: root })
  const local = statfsSync(directory)
  t.same([Number(blocks), bsize, namelen, type], [local.blocks, local.bsize, 255, 0x01021997])
  const link = await client.walk(root, 'l')
  t.equal((await client.call('Treadlink', { fid: link })).target, 'nowhere')
  t.equal((await client.call('Tstatfs', { fid: link })).bsize, local.bsize, 'of a dangling link too')
})

t.test('create, write, read, sparse ends, append, cut', async t => {
  const { directory, client, root } = await served(t)
  const path = join(directory, 'new')
  const file = await client.create(root, 'new', 2, 0o4666)
  t.equal(lstatSync(path).mode & 0o7777, 0o4666, 'no umask')
  t.equal(await client.write(file, 'hello'), 5)
  t.equal(await client.write(file, 'far', 5_000_000_000n), 3)
  t.ok(lstatSync(path).blocks < 100)
  t.equal((await client.read(file, 4_999_999_998n)).toString('latin1'), '\0\0far')
  t.equal((await client.read(file, 5_000_000_003n)).length, 0)
  for (const [offset, code] of [
    [0xfffffffffffffff0n, 'EINVAL'],
    [0xffffffffffffffffn, 'EINVAL'],
    [1n << 62n, 'EFBIG'],
  ] as const) {
    await t.rejects(client.write(file, 'x', offset), { code })
    await t.rejects(client.setattr(file, 0x8, { size: offset }), { code })
  }
  await t.rejects(client.read(file, 0xffffffffffffffffn), { code: 'EINVAL' }, 'not the current position')
  t.equal(lstatSync(path).size, 5_000_000_003, 'nothing was written elsewhere')
  await t.rejects(client.create(root, 'new', 0o202), { code: 'EEXIST' })
  const again = await client.create(root, 'new', 2)
  t.equal((await client.read(again, 0n, 5)).toString(), 'hello', 'without O_EXCL it is opened')
  for (const datasync of [0, 1]) await client.call('Tfsync', { fid: file, datasync })
  await client.setattr(await client.walk(root, 'new'), 0x8, { size: 5n })
  const append = await client.open(root, 'new', 0o2001)
  await client.write(append, '+', 0n)
  await client.write(append, '-', 1n)
  t.equal(readFileSync(path, 'utf8'), 'hello+-')
  await t.rejects(client.read(append), { code: 'EBADF' })
  t.equal((await client.attributes(await client.open(root, 'new', 0o1002))).size, 0n)
  await client.call('Tmkdir', { dfid: root, name: 'd', mode: 0o40777, gid: 0 })
  t.equal(lstatSync(join(directory, 'd')).mode, 0o40777)
  const regular = { dfid: root, name: 'n', mode: 0o100666, major: 0, minor: 0, gid: 0 }
  await client.call('Tmknod', regular)
  t.equal(lstatSync(join(directory, 'n')).mode, 0o100666)
  await t.rejects(client.call('Tmknod', regular), { code: 'EEXIST' })
})

t.test('reads and writes in other threads, and a close before they end', async t => {
  const { directory, tree } = exported(t)
  const file = tree.create(tree.root, 'f', openFlag.readWrite, 0o644)
  if (typeof file === 'number') throw new Error('create')
  const content = Buffer.from('content')
  t.equal(await tree.writeWaiting(file, content, 0, 7, 2n), 7)
  t.equal(await tree.writeWaiting(file, content, 0, 7, 1n << 63n), failure.EINVAL)
  const into = Buffer.alloc(9)
  const reading = tree.readWaiting(file, into, 0, 9, 0n)
  const beyond = tree.readWaiting(file, Buffer.alloc(9), 0, 9, 1n << 63n)
  tree.close(file)
  t.equal(await reading, 9)
  t.equal(into.toString('latin1'), '\0\0content')
  t.equal(await beyond, failure.EINVAL)
  t.same(tree.size, { inodes: 1, descriptors: 0 })
  t.equal(readFileSync(join(directory, 'f')).length, 9)
})

t.test('names of any bytes, long names, long links', async t => {
  const { directory, client, root } = await served(t)
  const odd = '\xff\xfe \n"\\'
  await client.clunk(await client.create(root, odd))
  t.ok(existsSync(Buffer.from(`${directory}/${odd}`, 'latin1')))
  await client.call('Trenameat', { olddirfid: root, oldname: odd, newdirfid: root, newname: `${odd}\xfe` })
  t.ok((await client.list(root)).some(entry => entry.name === `${odd}\xfe`))
  await client.call('Tsymlink', { dfid: root, name: 'odd', target: odd, gid: 0 })
  t.equal((await client.call('Treadlink', { fid: await client.walk(root, 'odd') })).target, odd)
  await client.call('Tmkdir', { dfid: root, name: 'n'.repeat(255), mode: 0o755, gid: 0 })
  await t.rejects(client.walk(root, 'n'.repeat(256)), { code: 'ENAMETOOLONG' })
  const target = 't'.repeat(4095)
  await client.call('Tsymlink', { dfid: root, name: 'link', target, gid: 0 })
  t.equal((await client.call('Treadlink', { fid: await client.walk(root, 'link') })).target, target)
  for (const bad of ['a/b', 'a\0b', '.', '/']) {
    await t.rejects(client.walk(root, bad), { code: 'EINVAL' })
    await t.rejects(client.create(root, bad), { code: 'EINVAL' })
  }
  await t.rejects(client.create(root, '..'), { code: 'EINVAL' })
  await t.rejects(client.walk(root, ''), { code: 'ENOENT' })
  await t.rejects(client.call('Tsymlink', { dfid: root, name: 'x', target: 'a\0b', gid: 0 }), {
    code: 'EINVAL',
  })
})

t.test('setattr: mode, owner, times, open or not', async t => {
  const { directory, client, root } = await served(t)
  for (const name of ['closed', 'open']) {
    const path = join(directory, name)
    writeFileSync(path, 'hello')
    const fid = name === 'open' ? await client.open(root, name, 2) : await client.walk(root, name)
    await client.setattr(fid, 0x7, { mode: 0o104711, uid: 1234, gid: 567 })
    await client.setattr(fid, 0x42, { uid: 99 })
    const { mode, uid, gid } = lstatSync(path)
    t.same({ mode, uid, gid }, { mode: 0o100711, uid: 99, gid: 567 })
    await client.setattr(fid, 0x1b0, {
      atimeSec: 1n,
      atimeNsec: 123_456_789n,
      mtimeSec: 2n ** 64n - 5n,
      mtimeNsec: 9_000n,
    })
    const times = lstatSync(path, { bigint: true })
    t.equal(times.atimeNs, 1_123_456_000n, 'to the microsecond')
    t.equal(times.mtimeNs, -5_000_000_000n + 9_000n)
    const late = { atimeSec: 1_999_999_999n, atimeNsec: 999_999_999n }
    await client.setattr(fid, 0x90, late)
    t.equal(lstatSync(path, { bigint: true }).atimeNs, 1_999_999_999_999_999_000n)
    await client.setattr(fid, 0x20, {})
    t.ok(Date.now() - lstatSync(path).mtimeMs < 60_000)
    t.equal(lstatSync(path, { bigint: true }).atimeNs, 1_999_999_999_999_999_000n, 'the other is left alone')
    await client.setattr(fid, 0x1, { mode: 0 })
    await client.setattr(fid, 0x1, { mode: 0o600 })
    t.equal(lstatSync(path).mode, 0o100600)
  }
  symlinkSync('closed', join(directory, 'l'))
  const link = await client.walk(root, 'l')
  await client.setattr(link, 0x46, { uid: 5, gid: 6 })
  t.match(lstatSync(join(directory, 'l')), { uid: 5, gid: 6 })
  await client.setattr(link, 0x1b0, { mtimeSec: 7n })
  t.equal(lstatSync(join(directory, 'l')).mtimeMs, 7000)
  await t.rejects(client.setattr(link, 0x1, { mode: 0o777 }), { code: 'EOPNOTSUPP' })
  t.match(lstatSync(join(directory, 'closed')), { uid: 99, mode: 0o100600 }, 'the link was not followed')
  await t.rejects(client.setattr(root, 0x8, { size: 1n }), { code: 'EISDIR' })
  await client.setattr(root, 0x1, { mode: 0o750 })
  t.equal(lstatSync(directory).mode, 0o40750)
})

t.test('the mode of what may not be read is changed all the same, by its owner', async t => {
  const { directory, tree } = exported(t)
  const nobody = 65534
  for (const [name, mode] of [
    ['own', 0o200],
    ['other', 0o604],
  ] as const) {
    writeFileSync(join(directory, name), '', { mode })
    if (name === 'own') chownSync(join(directory, name), nobody, nobody)
  }
  chmodSync(directory, 0o755)
  const find = (name: string) => tree.lookup(tree.root, name) as typeof tree.root
  const [own, other] = [find('own'), find('other')]
  process.setegid!(nobody)
  process.seteuid!(nobody)
  try {
    t.equal(tree.create(tree.root, 'x', openFlag.write, 0o644), failure.EACCES)
    t.equal(tree.open(own, openFlag.read), failure.EACCES)
    t.equal(tree.setAttributes(own, { mode: 0o640 }), 0)
    t.equal(tree.setAttributes(other, { mode: 0o640 }), failure.EPERM)
    t.equal(tree.setAttributes(other, { size: 1n }), failure.EACCES)
  } finally {
    process.seteuid!(0)
    process.setegid!(0)
  }
  t.equal(lstatSync(join(directory, 'own')).mode, 0o100640)
  t.equal(lstatSync(join(directory, 'other')).mode, 0o100604)
})

t.test('a file stays itself: unlinked, renamed over, linked', async t => {
  const { directory, client, root } = await served(t)
  const file = await client.create(root, 'f')
  const path = await client.walk(root, 'f')
  await client.write(file, 'hello')
  await client.call('Tunlinkat', { dirfid: root, name: 'f', flags: 0 })
  t.notOk(existsSync(join(directory, 'f')))
  t.equal((await client.attributes(path)).nlink, 0n)
  await client.setattr(path, 0x9, { size: 4n, mode: 0o600 })
  await client.write(file, 'gone', 4n)
  t.equal((await client.read(file)).toString(), 'hellgone')
  t.match(await client.attributes(file), { size: 8n, mode: 0o100600 })
  await t.rejects(client.call('Tremove', { fid: path }), { code: 'ESTALE' })

  const old = await client.create(root, 'old')
  await client.write(old, 'old')
  const next = await client.create(root, 'next')
  await client.write(next, 'next')
  await client.call('Trenameat', { olddirfid: root, oldname: 'next', newdirfid: root, newname: 'old' })
  t.equal((await client.read(old)).toString(), 'old')
  t.equal((await client.attributes(old)).nlink, 0n)
  t.equal(readFileSync(join(directory, 'old'), 'utf8'), 'next')

  await client.call('Tlink', { dfid: root, fid: next, name: 'second' })
  t.equal((await client.attributes(next)).nlink, 2n)
  const second = await client.walk(root, 'second')
  t.same((await client.attributes(second)).qid, (await client.attributes(next)).qid)
  await client.call('Trenameat', { olddirfid: root, oldname: 'old', newdirfid: root, newname: 'second' })
  t.ok(existsSync(join(directory, 'old')), 'renaming one link over another does nothing')
  await client.call('Tremove', { fid: second })
  t.equal((await client.attributes(next)).nlink, 1n)

  const removed = await client.create(root, 'removed')
  const { ino } = lstatSync(join(directory, 'removed'))
  const kept = await client.walk(root, 'removed')
  await client.clunk(removed)
  await client.call('Tunlinkat', { dirfid: root, name: 'removed', flags: 0 })
  await t.rejects(client.attributes(kept), { code: 'ESTALE' }, 'but only where it is open')
  for (let i = 0; i < 50; i++) await client.clunk(await client.create(root, `${i}`))
  await t.rejects(client.attributes(kept), { code: 'ESTALE' })
  t.comment(
    `its number was used again: ${readdirSync(directory).some(name => lstatSync(join(directory, name)).ino === ino)}`,
  )
})

t.test('directories: moved with their contents, removed, renamed by fid', async t => {
  const { directory, client, root } = await served(t)
  mkdirSync(join(directory, 'a/b/c'), { recursive: true })
  writeFileSync(join(directory, 'a/b/c/f'), 'deep')
  const b = await client.walk(root, 'a', 'b')
  const f = await client.walk(root, 'a', 'b', 'c', 'f')
  await client.call('Trename', { fid: b, dfid: root, name: 'moved' })
  t.ok(existsSync(join(directory, 'moved/c/f')))
  t.equal((await client.attributes(f)).size, 4n)
  t.equal(String(await client.read(await client.open(await client.walk(b, 'c'), 'f'))), 'deep')
  const up = await client.walk(b, '..', '..', '..')
  t.same((await client.attributes(up)).qid, (await client.attributes(root)).qid)
  const unlink = (name: string, flags: number) => client.call('Tunlinkat', { dirfid: root, name, flags })
  await t.rejects(unlink('moved', 0), { code: 'EISDIR' })
  await t.rejects(unlink('moved', 0x200), { code: 'ENOTEMPTY' })
  await unlink('a', 0x200)
  t.notOk(existsSync(join(directory, 'a')))
  const inside = { olddirfid: root, oldname: 'moved', newdirfid: b, newname: 'x' }
  await t.rejects(client.call('Trenameat', inside), { code: 'EINVAL' })
  await t.rejects(client.call('Tremove', { fid: await client.walk(root) }), { code: 'EBUSY' })
  await t.rejects(client.call('Tlink', { dfid: root, fid: b, name: 'hard' }), { code: 'EPERM' })
})

t.test(
  'FIFOs, sockets and devices are neither opened nor made; there are no extended attributes',
  async t => {
    const { directory, client, root } = await served(t)
    execFileSync('mkfifo', [join(directory, 'fifo')])
    execFileSync('mknod', [join(directory, 'null'), 'c', '1', '3'])
    execFileSync('mknod', [join(directory, 'block'), 'b', '259', '300'])
    const { rdev } = await client.attributes(await client.walk(root, 'block'))
    t.equal(rdev, 44n | (259n << 8n) | (256n << 12n))
    await t.rejects(client.open(root, 'fifo'), { code: 'ENXIO' })
    await t.rejects(client.create(root, 'fifo', 1), { code: 'ENXIO' }, 'nor by creating it')
    await t.rejects(client.open(root, 'null', 2), { code: 'EACCES' })
    const fifo = await client.walk(root, 'fifo')
    await t.rejects(client.setattr(fifo, 0x8, { size: 0n }), { code: 'EINVAL' })
    await client.setattr(fifo, 0x1, { mode: 0o600 })
    t.equal(lstatSync(join(directory, 'fifo')).mode, 0o10600)
    for (const mode of [0o010666, 0o140666, 0o020666]) {
      const request = { dfid: root, name: 'x', mode, major: 1, minor: 3, gid: 0 }
      await t.rejects(client.call('Tmknod', request), { code: 'EPERM' })
    }
    const walk = (name: string) => client.call('Txattrwalk', { fid: root, newfid: client.newFid(), name })
    await t.rejects(walk('user.x'), { code: 'EOPNOTSUPP' })
    t.equal((await walk('')).size, 0n)
  },
)

t.test('a link put in the place of a directory leads nowhere', async t => {
  const { directory, tree } = exported(t)
  const outside = mkdtempSync('/tmp/outside-')
  t.teardown(() => rmSync(outside, { recursive: true }))
  mkdirSync(join(directory, 'a/b'), { recursive: true })
  mkdirSync(join(outside, 'b'))
  for (const place of [directory, outside])
    writeFileSync(join(place, place === outside ? 'b/f' : 'a/b/f'), '')
  const below = (parent: typeof tree.root, name: string) => tree.lookup(parent, name) as typeof tree.root
  const a = below(tree.root, 'a')
  const b = below(a, 'b')
  const f = below(b, 'f')
  const listing = tree.open(b, openFlag.read)
  if (typeof listing === 'number') throw new Error('open')
  renameSync(join(directory, 'a'), join(directory, 'moved'))
  symlinkSync(outside, join(directory, 'a'))

  const into = Buffer.alloc(4096)
  const attempts: Record<string, () => unknown> = {
    lookup: () => tree.lookup(b, 'f'),
    attributes: () => tree.attributes(f, into, 0),
    chmod: () => tree.setAttributes(f, { mode: 0o777 }),
    chown: () => tree.setAttributes(f, { uid: 1 }),
    times: () => tree.setAttributes(f, { modificationTime: 'now' }),
    cut: () => tree.setAttributes(f, { size: 9n }),
    open: () => tree.open(f, openFlag.readWrite),
    statfs: () => tree.statfs(f, into, 0),
    list: () => tree.readDirectory(listing, 0n, into, 0, into.length),
    create: () => tree.create(b, 'new', openFlag.write, 0o644),
    makeDirectory: () => tree.makeDirectory(b, 'new', 0o755),
    makeLink: () => tree.makeLink(b, 'new', 'x'),
    link: () => tree.link(f, tree.root, 'new'),
    linkTo: () => tree.link(f, b, 'new'),
    renameFrom: () => tree.rename(b, 'f', tree.root, 'new'),
    renameTo: () => tree.rename(tree.root, 'moved', b, 'new'),
    renameNode: () => tree.renameNode(f, tree.root, 'new'),
    unlink: () => tree.unlink(b, 'f', false),
    unlinkNode: () => tree.unlinkNode(f),
  }
  const before = lstatSync(join(outside, 'b/f'))
  for (const [name, attempt] of Object.entries(attempts)) t.equal(attempt(), failure.ESTALE, name)
  t.same(lstatSync(join(outside, 'b/f')), before)
  t.same(readdirSync(join(outside, 'b')), ['f'])
  t.same(readdirSync(directory).sort(), ['a', 'moved'])

  t.equal((tree.lookup(tree.root, 'a') as typeof a).kind, 'symlink')
  t.equal(tree.lookup(tree.root, 'moved'), a, 'seen under its new name, it is found again')
  t.ok(tree.attributes(f, Buffer.alloc(attributeRecordSize), 0) >= 0)
  t.equal(tree.lookup(b, 'f'), f)
})

t.test('a file that others replaced is another one', async t => {
  const { directory, tree } = exported(t)
  const path = join(directory, 'f')
  writeFileSync(path, 'old')
  const old = tree.lookup(tree.root, 'f') as typeof tree.root
  writeFileSync(join(directory, 'g'), 'new')
  renameSync(join(directory, 'g'), path)
  t.equal(tree.open(old, openFlag.read), failure.ESTALE)
  t.equal(tree.unlinkNode(old), failure.ESTALE)
  t.not(tree.lookup(tree.root, 'f'), old)
  unlinkSync(path)
  t.equal(tree.lookup(tree.root, 'f'), failure.ENOENT)
})

t.test('a listing that was forgotten for the sake of others goes on', async t => {
  const { directory, tree } = exported(t)
  for (let i = 0; i < 5000; i++) writeFileSync(join(directory, `${i}`), '')
  const into = Buffer.alloc(4096)
  const files = Array.from({ length: 210 }, () => tree.open(tree.root, openFlag.read))
  for (const file of files) {
    if (typeof file === 'number') throw new Error('open')
    t.ok(tree.readDirectory(file, 0n, into, 0, into.length) > 0)
  }
  const remembered = files.filter(file => typeof file !== 'number' && file.names !== undefined)
  t.equal(remembered.length, Math.floor(1_000_000 / 5002))
  const [first] = files
  if (typeof first !== 'object') throw new Error('open')
  t.equal(tree.readDirectory(first, 5001n, into, 0, into.length) > 0, true)
  t.equal(tree.readDirectory(first, 5002n, into, 0, into.length), 0)
  t.equal(tree.readDirectory(first, 1n << 63n, into, 0, into.length), 0)
})

t.test('the whole file system', async t => {
  const tree = openPathTree('/', { readOnly: true })
  t.teardown(() => tree.dispose())
  t.equal(tree.lookup(tree.root, '..'), tree.root)
  const etc = tree.lookup(tree.root, 'etc') as typeof tree.root
  t.equal(etc.kind, 'directory')
  const root = tree.open(tree.root, openFlag.read)
  if (typeof root === 'number') throw new Error('open')
  const into = Buffer.alloc(65536)
  t.ok(tree.readDirectory(root, 0n, into, 0, into.length) > 0)
  t.equal(tree.statfs(tree.root, into, 0), 0)
  t.ok(tree.attributes(tree.root, into, 0) >= 0)
})

t.test('flags and errors of another system', async t => {
  // sys/fcntl.h of macOS.
  const constants = {
    O_RDONLY: 0,
    O_WRONLY: 1,
    O_RDWR: 2,
    O_NONBLOCK: 0x4,
    O_APPEND: 0x8,
    O_SYNC: 0x80,
    O_NOFOLLOW: 0x100,
    O_NOCTTY: 0x20000,
    O_DSYNC: 0x400000,
  }
  const always = 0x20000104 + 0x20000
  const flags = (bits: number) => systemFlags(bits, constants, 'darwin')
  t.equal(flags(openFlag.read), always)
  t.equal(flags(openFlag.write | openFlag.truncate | openFlag.exclusive), always | 1)
  t.equal(flags(openFlag.readWrite | openFlag.append), always | 2 | 0x8)
  t.equal(flags(openFlag.write | openFlag.dataSync), always | 1 | 0x400000)
  t.equal(flags(openFlag.write | openFlag.sync), always | 1 | 0x400080)
  t.equal(systemFlags(openFlag.read, constants, 'freebsd'), 0x20104)

  const error = (code: string, errno: number) => Object.assign(new Error(code), { code, errno })
  t.equal(failureOf(error('ENOTEMPTY', -66)), -39)
  t.equal(failureOf(error('ENOTSUP', -45)), -95)
  t.equal(failureOf(error('ELOOP', -62)), -40)
  t.throws(() => failureOf(new TypeError('a mistake')), TypeError)
  t.equal(toNumber(2n ** 53n - 1n), 2 ** 53 - 1)
  t.equal(toNumber(2n ** 53n), -27)
})
