// Every operation on files, against the same done locally: on ext4 (or whatever /tmp is) and on tmpfs.

import { deepEqual } from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { openLocalTree } from '../../src/fs/local-tree.js'
import { openPathTree } from '../../src/fs/path-tree.js'
import { type NinepClient, NinepServer } from '../fixtures/ninep-client.js'

interface Place {
  readonly directory: string
  readonly client: NinepClient
  readonly root: number
}

async function place(t: Test, parent: string, msize?: number): Promise<Place> {
  const directory = mkdtempSync(join(parent, 'export-'))
  const tree = openLocalTree(directory)
  const server = new NinepServer(tree)
  t.teardown(async () => {
    await server.close()
    deepEqual(tree.size, { inodes: 1, descriptors: 1 }, 'nothing but the root is left')
    tree.dispose()
    rmSync(directory, { recursive: true })
  })
  return { directory, ...(await server.attached(msize)) }
}

for (const parent of ['/tmp', '/dev/shm']) {
  t.test(`on ${parent}`, async t => {
    t.test('attributes are those of stat', async t => {
      const { directory, client, root } = await place(t, parent)
      writeFileSync(join(directory, 'f'), 'hello')
      linkSync(join(directory, 'f'), join(directory, 'g'))
      mkdirSync(join(directory, 'd'), 0o711)
      symlinkSync('nowhere', join(directory, 'l'))
      for (const name of ['f', 'g', 'd', 'l', '']) {
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
          blocks: remote.blocks,
          ino: remote.qid.path,
          mtimeNs: remote.mtimeSec * 1_000_000_000n + remote.mtimeNsec,
          ctimeNs: remote.ctimeSec * 1_000_000_000n + remote.ctimeNsec,
          birthtimeNs: remote.btimeSec * 1_000_000_000n + remote.btimeNsec,
        })
        t.equal(remote.gen, 0n)
        const isFile = name === 'f' || name === 'g'
        t.same(remote.qid, {
          type: name === 'l' ? 2 : isFile ? 0 : 0x80,
          version: isFile ? 1 : 0,
          path: local.ino,
        })
      }
    })

    t.test('create, write, read, sparse ends and 64-bit offsets', async t => {
      const { directory, client, root } = await place(t, parent)
      const file = await client.create(root, 'new', 2, 0o4755)
      t.equal(lstatSync(join(directory, 'new')).mode & 0o7777, 0o4755, 'no umask')
      t.equal(await client.write(file, 'hello'), 5)
      t.equal(await client.write(file, 'far', 5_000_000_000n), 3)
      t.equal(lstatSync(join(directory, 'new')).size, 5_000_000_003)
      t.ok(lstatSync(join(directory, 'new')).blocks < 100)
      t.equal((await client.read(file, 4_999_999_998n)).toString('latin1'), '\0\0far')
      t.equal((await client.read(file, 5_000_000_003n)).length, 0)
      t.equal((await client.read(file, 0n, 5)).toString(), 'hello')
      if (parent === '/dev/shm') {
        const far = (1n << 62n) + 12_345n
        t.equal(await client.write(file, 'edge', far), 4)
        t.equal((await client.read(file, far + 1n)).toString(), 'dge')
        t.equal((await client.attributes(file)).size, far + 4n)
      }
      await t.rejects(client.write(file, 'x', 0xfffffffffffffff0n), { code: 'EINVAL' })
      await t.rejects(client.create(root, 'new', 0o202), { code: 'EEXIST' })
      const again = await client.create(root, 'new', 2)
      t.equal((await client.read(again, 0n, 5)).toString(), 'hello', 'without O_EXCL it is opened')
      await client.call('Tfsync', { fid: file, datasync: 0 })
      await client.call('Tfsync', { fid: file, datasync: 1 })
      const append = await client.open(root, 'new', 0o2001)
      await client.setattr(append, 0x8, { size: 5n })
      await client.write(append, '+', 0n)
      t.equal(readFileSync(join(directory, 'new'), 'utf8'), 'hello+')
      const truncated = await client.open(root, 'new', 0o1002)
      t.equal((await client.attributes(truncated)).size, 0n)
    })

    t.test('12,943 bytes, and a megabyte, in every size of read', async t => {
      const { directory, client, root } = await place(t, parent)
      for (const size of [0, 1, 4095, 12_943, 65_536, 1_500_000]) {
        const content = Buffer.from(Array.from({ length: size }, (_, i) => (i * 7 + (i >> 8)) & 255))
        writeFileSync(join(directory, 'f'), content)
        const fid = await client.open(root, 'f')
        for (const count of [size > 100_000 ? 65_536 : 1000, 4096, 1_048_552, 0xffffffff]) {
          const parts: Buffer[] = []
          for (let offset = 0n; ; ) {
            const part = await client.read(fid, offset, count)
            if (part.length === 0) break
            parts.push(part)
            offset += BigInt(part.length)
          }
          t.ok(Buffer.concat(parts).equals(content), `${size} by ${count}`)
        }
        await client.clunk(fid)
      }
    })

    t.test('names of any bytes, long names, long links', async t => {
      const { directory, client, root } = await place(t, parent)
      const odd = '\xff\xfe \n"\\'
      await client.clunk(await client.create(root, odd))
      t.ok(existsSync(Buffer.from(`${directory}/${odd}`, 'latin1')))
      t.ok((await client.list(root)).some(entry => entry.name === odd))
      const long = 'n'.repeat(255)
      await client.call('Tmkdir', { dfid: root, name: long, mode: 0o40750, gid: 0 })
      t.equal(lstatSync(join(directory, long)).mode, 0o40750)
      for (const name of ['n'.repeat(256), 'n'.repeat(65_535)]) {
        await t.rejects(client.walk(root, name), { code: 'ENAMETOOLONG' })
      }
      const target = 't'.repeat(4095)
      const { qid } = await client.call('Tsymlink', { dfid: root, name: 'link', target, gid: 0 })
      t.equal(qid.type, 2)
      const link = await client.walk(root, 'link')
      t.equal((await client.call('Treadlink', { fid: link })).target, target)
      t.equal(readlinkSync(join(directory, 'link')), target)
      await t.rejects(client.call('Tsymlink', { dfid: root, name: 'l2', target: 't'.repeat(4096), gid: 0 }), {
        code: 'ENAMETOOLONG',
      })
      for (const bad of ['a/b', 'a\0b', '.', '/']) {
        await t.rejects(client.walk(root, bad), { code: 'EINVAL' })
        await t.rejects(client.create(root, bad), { code: 'EINVAL' })
      }
      await t.rejects(client.create(root, '..'), { code: 'EINVAL' })
      await t.rejects(client.walk(root, ''), { code: 'ENOENT' })
    })

    t.test('setattr: mode, owner, size, times', async t => {
      const { directory, client, root } = await place(t, parent)
      const path = join(directory, 'f')
      writeFileSync(path, 'hello')
      symlinkSync('f', join(directory, 'l'))
      const fid = await client.walk(root, 'f')
      await client.setattr(fid, 0x47, { mode: 0o104711, uid: 1234, gid: 567 })
      const changed = lstatSync(path)
      t.match(
        { mode: changed.mode, uid: changed.uid, gid: changed.gid },
        { mode: 0o104711, uid: 1234, gid: 567 },
      )
      await client.setattr(fid, 0x42, { uid: 99 })
      t.match(lstatSync(path), { uid: 99, gid: 567 })
      await client.setattr(fid, 0x1b0, {
        atimeSec: 1n,
        atimeNsec: 123_456_789n,
        mtimeSec: 2n ** 64n - 5n,
        mtimeNsec: 9n,
      })
      const times = lstatSync(path, { bigint: true })
      t.equal(times.atimeNs, 1_123_456_789n)
      t.equal(times.mtimeNs, -5_000_000_000n + 9n)
      await client.setattr(fid, 0x20, {})
      t.ok(Date.now() - lstatSync(path).mtimeMs < 60_000)
      t.equal(lstatSync(path, { bigint: true }).atimeNs, 1_123_456_789n, 'the other time is left alone')
      await client.setattr(fid, 0x68, { size: 10_000_000_000n })
      t.equal(lstatSync(path).size, 10_000_000_000)
      const link = await client.walk(root, 'l')
      await client.setattr(link, 0x46, { uid: 5, gid: 6 })
      t.match(lstatSync(join(directory, 'l')), { uid: 5, gid: 6 })
      t.equal(lstatSync(path).uid, 99, 'the link was not followed')
      await t.rejects(client.setattr(link, 0x8, { size: 1n }), { code: 'EINVAL' })
      await t.rejects(client.setattr(root, 0x8, { size: 1n }), { code: 'EISDIR' })
    })

    t.test('a file stays itself: unlinked, renamed over, linked', async t => {
      const { directory, client, root } = await place(t, parent)
      const file = await client.create(root, 'f')
      const path = await client.walk(root, 'f')
      await client.write(file, 'hello')
      await client.call('Tunlinkat', { dirfid: root, name: 'f', flags: 0 })
      t.notOk(existsSync(join(directory, 'f')))
      t.equal((await client.attributes(path)).nlink, 0n)
      await client.setattr(path, 0x8, { size: 4n })
      t.equal((await client.read(file)).toString(), 'hell')
      await client.write(file, 'gone', 4n)
      t.equal((await client.attributes(file)).size, 8n)
      const reopened = await client.walk(path)
      await client.call('Tlopen', { fid: reopened, flags: 0 })
      t.equal((await client.read(reopened)).toString(), 'hellgone')
      await t.rejects(client.call('Tremove', { fid: path }), { code: 'ESTALE' })
      await t.rejects(client.attributes(path), { code: 'EBADF' }, 'Tremove ends the fid all the same')

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
    })

    t.test('directories: moved with their contents, removed, renamed by fid', async t => {
      const { directory, client, root } = await place(t, parent)
      mkdirSync(join(directory, 'a/b/c'), { recursive: true })
      writeFileSync(join(directory, 'a/b/c/f'), 'deep')
      const b = await client.walk(root, 'a', 'b')
      const f = await client.walk(root, 'a', 'b', 'c', 'f')
      await client.call('Trename', { fid: b, dfid: root, name: 'moved' })
      t.ok(existsSync(join(directory, 'moved/c/f')))
      t.equal((await client.attributes(f)).size, 4n)
      const up = await client.walk(b, '..')
      t.same((await client.attributes(up)).qid, (await client.attributes(root)).qid)
      await t.rejects(client.call('Tunlinkat', { dirfid: root, name: 'moved', flags: 0 }), { code: 'EISDIR' })
      await t.rejects(client.call('Tunlinkat', { dirfid: root, name: 'moved', flags: 0x200 }), {
        code: 'ENOTEMPTY',
      })
      await client.call('Tunlinkat', { dirfid: root, name: 'a', flags: 0x200 })
      t.notOk(existsSync(join(directory, 'a')))
      await t.rejects(
        client.call('Trenameat', { olddirfid: root, oldname: 'moved', newdirfid: b, newname: 'x' }),
        { code: 'EINVAL' },
      )
      await t.rejects(client.call('Tremove', { fid: await client.walk(root) }), { code: 'EBUSY' })
    })

    t.test('FIFOs, sockets and devices are made, never opened', async t => {
      const { directory, client, root } = await place(t, parent)
      const make = (name: string, mode: number, major = 0, minor = 0) =>
        client.call('Tmknod', { dfid: root, name, mode, major, minor, gid: 0 })
      await make('fifo', 0o010666)
      await make('socket', 0o140600)
      await make('null', 0o020666, 1, 3)
      await make('block', 0o060600, 259, 300)
      t.ok(lstatSync(join(directory, 'fifo')).isFIFO())
      const rdev = (await client.attributes(await client.walk(root, 'block'))).rdev
      t.equal(rdev, 44n | (259n << 8n) | (256n << 12n))
      await t.rejects(client.open(root, 'fifo'), { code: 'ENXIO' })
      await t.rejects(client.open(root, 'socket'), { code: 'ENXIO' })
      await t.rejects(client.open(root, 'null', 2), { code: 'EACCES' })
      await t.rejects(client.create(root, 'fifo', 1), { code: 'ENXIO' }, 'nor by creating it')
      await t.rejects(client.create(root, 'null', 1), { code: 'EACCES' })
      await t.rejects(client.setattr(await client.walk(root, 'fifo'), 0x8, { size: 0n }), { code: 'EINVAL' })
    })

    t.test('statfs', async t => {
      const { directory, client, root } = await place(t, parent)
      const remote = await client.call('Tstatfs', { fid: root })
      const local = statfsSync(directory)
      t.match(
        {
          type: remote.type,
          bsize: remote.bsize,
          blocks: remote.blocks,
          files: remote.files,
          namelen: remote.namelen,
        },
        {
          type: local.type,
          bsize: local.bsize,
          blocks: BigInt(local.blocks),
          files: BigInt(local.files),
          namelen: 255,
        },
      )
    })
  })
}

t.test('extended attributes: those of the user only', async t => {
  const { client, root } = await place(t, '/tmp')
  const file = await client.create(root, 'f')
  const set = async (name: string, value: string, flags = 0) => {
    const fid = await client.walk(root, 'f')
    try {
      await client.call('Txattrcreate', { fid, name, size: BigInt(value.length), flags })
      if (value !== '') await client.write(fid, Buffer.from(value, 'latin1'))
    } finally {
      await client.clunk(fid)
    }
  }
  const get = async (name: string) => {
    const newfid = client.newFid()
    const { size } = await client.call('Txattrwalk', { fid: file, newfid, name })
    const value = (await client.read(newfid)).toString('latin1')
    t.equal(BigInt(value.length), size)
    await client.clunk(newfid)
    return value
  }
  await set('user.one', 'first')
  await set('user.two', '\0\xff')
  t.equal(await get('user.one'), 'first')
  t.same((await get('')).split('\0').sort(), ['', 'user.one', 'user.two'])
  await t.rejects(set('user.one', 'again', 1), { code: 'EEXIST' })
  await set('user.one', '', 2)
  await t.rejects(get('user.one'), { code: 'ENODATA' })
  await t.rejects(get('security.capability'), { code: 'ENODATA' })
  await t.rejects(get('system.posix_acl_access'), { code: 'EOPNOTSUPP' })
  await t.rejects(set('security.capability', 'x'), { code: 'EOPNOTSUPP' })
  await t.rejects(set('trusted.x', 'x'), { code: 'EOPNOTSUPP' })
  const fid = await client.walk(root, 'f')
  await t.rejects(client.call('Txattrcreate', { fid, name: 'user.big', size: 65_537n, flags: 0 }), {
    code: 'E2BIG',
  })
})

for (const [kind, openTree] of Object.entries({ descriptors: openLocalTree, paths: openPathTree })) {
  t.test(`a read-only export changes nothing, by ${kind}`, async t => {
    const directory = mkdtempSync('/tmp/export-')
    writeFileSync(join(directory, 'f'), 'hello')
    const tree = openTree(directory, { readOnly: true })
    const server = new NinepServer(tree)
    t.teardown(async () => {
      await server.close()
      tree.dispose()
      rmSync(directory, { recursive: true })
    })
    const { client, root } = await server.attached()
    const f = await client.walk(root, 'f')
    const calls = [
      () => client.open(root, 'f', 1),
      () => client.open(root, 'f', 2),
      () => client.open(root, 'f', 0o1000),
      () => client.create(root, 'g'),
      () => client.setattr(f, 1, { mode: 0 }),
      () => client.setattr(f, 8, { size: 0n }),
      () => client.call('Tmkdir', { dfid: root, name: 'd', mode: 0o755, gid: 0 }),
      () => client.call('Tmknod', { dfid: root, name: 'n', mode: 0o10644, major: 0, minor: 0, gid: 0 }),
      () => client.call('Tsymlink', { dfid: root, name: 'l', target: 'x', gid: 0 }),
      () => client.call('Tlink', { dfid: root, fid: f, name: 'l' }),
      () => client.call('Trename', { fid: f, dfid: root, name: 'l' }),
      () => client.call('Trenameat', { olddirfid: root, oldname: 'f', newdirfid: root, newname: 'l' }),
      () => client.call('Tunlinkat', { dirfid: root, name: 'f', flags: 0 }),
      () => client.call('Txattrcreate', { fid: f, name: 'user.x', size: 1n, flags: 0 }),
    ]
    for (const call of calls) await t.rejects(call(), { code: 'EROFS' })
    const copy = await client.walk(f)
    await t.rejects(client.call('Tremove', { fid: copy }), { code: 'EROFS' })
    const file = await client.open(root, 'f')
    t.equal((await client.read(file)).toString(), 'hello')
    t.equal(statSync(join(directory, 'f')).size, 5)
  })
}

t.test('files that a kernel makes up are read through, and marked not to be cached', async t => {
  const tree = openLocalTree('/proc/self')
  const server = new NinepServer(tree)
  t.teardown(() => server.close())
  const { client, root } = await server.attached()
  const status = await client.open(root, 'status')
  t.equal((await client.attributes(status)).qid.version, 0)
  t.match((await client.read(status)).toString(), /^Name:/)
  const link = await client.walk(root, 'exe')
  t.equal((await client.attributes(link)).qid.type, 2, 'a magic link is a link')
  await t.rejects(client.walk(root, 'root', 'etc'), { code: 'ENOENT' }, 'and leads nowhere')
  await t.rejects(client.open(root, 'exe'), { code: 'ELOOP' })
})

t.test('changes made by others are seen', async t => {
  const { directory, client, root } = await place(t, '/tmp')
  writeFileSync(join(directory, 'f'), 'one')
  const file = await client.open(root, 'f')
  truncateSync(join(directory, 'f'), 0)
  writeFileSync(join(directory, 'f'), 'changed')
  chmodSync(join(directory, 'f'), 0o600)
  t.equal((await client.read(file)).toString(), 'changed')
  t.equal((await client.attributes(file)).mode, 0o100600)
  unlinkSync(join(directory, 'f'))
  await t.rejects(client.walk(root, 'f'), { code: 'ENOENT' })
})
