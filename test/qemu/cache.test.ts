import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { cached, cachedFile, pruneCache, removeDamaged } from '../../qemu/cache.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

t.test('a file is built once, and again when it has lost some of itself', async t => {
  const entry = path.join(temporaryDirectory(t), 'images/key')
  let builds = 0
  const file = () =>
    cachedFile(entry, async temporary => {
      builds++
      fs.writeFileSync(temporary, 'content')
    })
  const content = await file()
  t.equal(await file(), content)
  t.equal(builds, 1)
  t.notOk(await removeDamaged(content), 'it is whole')
  fs.truncateSync(content, 3)
  await file()
  t.equal(builds, 2)
  t.equal(fs.readFileSync(content, 'utf8'), 'content')

  fs.writeFileSync(content, 'CONTENT')
  t.equal(await file(), content, 'its size is right')
  t.ok(await removeDamaged(content))
  t.notOk(fs.existsSync(entry))
  await file()
  t.equal(builds, 3)
  await pruneCache(path.dirname(entry), 0)
  t.ok(fs.existsSync(content), 'somebody is about to use it')
  const before = new Date(Date.now() - 120_000)
  fs.utimesSync(entry, before, before)
  await pruneCache(path.dirname(entry), 0)
  t.strictSame(fs.readdirSync(path.dirname(entry)), [])
})

t.test('a file that is not of the cache is left alone', async t => {
  const file = path.join(temporaryDirectory(t), 'vmlinux')
  fs.writeFileSync(file, 'kernel')
  t.notOk(await removeDamaged(file))
  t.ok(fs.existsSync(file))
})

t.test('no room: what was begun is gone, and the place and the remedy are named', async t => {
  const directory = temporaryDirectory(t)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory])
  t.teardown(() => execFileSync('umount', [directory]))
  const build = cached(path.join(directory, 'images/key'), async temporary => {
    fs.writeFileSync(temporary, Buffer.alloc(1 << 20))
  })
  await t.rejects(build, {
    code: 'ERR_CPU_VM_WRITE',
    message: `cannot write to the cache, ${directory}/images: no space left on device`,
    remedy: /XDG_CACHE_HOME/,
  })
  t.strictSame(fs.readdirSync(path.join(directory, 'images')), [])
})
