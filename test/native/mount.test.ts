import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { MNT_DETACH, MS_BIND, MS_RDONLY, MS_REMOUNT } from '../../src/linux/mount.js'
import { mount, unmount } from '../../src/native/mount.js'

t.test('mount, remount and unmount', async t => {
  const at = mkdtempSync(join(tmpdir(), 'mount-'))
  t.teardown(() => rmSync(at, { recursive: true }))
  mount('test', at, 'tmpfs', 0, 'size=1m')
  const file = join(at, 'file')
  writeFileSync(file, '')
  mount('', at, '', MS_REMOUNT | MS_BIND | MS_RDONLY)
  t.throws(() => writeFileSync(file, ''), { code: 'EROFS' })
  unmount(at, MNT_DETACH)
  t.notOk(existsSync(file))
})

t.test('errors name the mount', async t => {
  t.throws(() => mount('home', '/nope', '9p'), {
    code: 'ENOENT',
    message: 'ENOENT: no such file or directory, mount home on /nope type 9p',
  })
  t.throws(() => mount('/etc', '/nope', '', MS_BIND), { message: /mount \/etc on \/nope$/ })
  t.throws(() => unmount('/etc'), { code: 'EINVAL', message: /umount \/etc$/ })
})
