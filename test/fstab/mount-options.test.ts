import t from 'tap'
import { formatMountFlags, parseMountOptions } from '../../src/fstab/mount-options.js'
import * as mount from '../../src/linux/mount.js'

t.test('every flag word of mount(8) and the one that undoes it', async t => {
  for (const [word, opposite, flag] of [
    ['ro', 'rw', mount.MS_RDONLY],
    ['nosuid', 'suid', mount.MS_NOSUID],
    ['nodev', 'dev', mount.MS_NODEV],
    ['noexec', 'exec', mount.MS_NOEXEC],
    ['nosymfollow', 'symfollow', mount.MS_NOSYMFOLLOW],
    ['sync', 'async', mount.MS_SYNCHRONOUS],
    ['mand', 'nomand', mount.MS_MANDLOCK],
    ['noatime', 'atime', mount.MS_NOATIME],
    ['nodiratime', 'diratime', mount.MS_NODIRATIME],
    ['relatime', 'norelatime', mount.MS_RELATIME],
    ['strictatime', 'nostrictatime', mount.MS_STRICTATIME],
    ['lazytime', 'nolazytime', mount.MS_LAZYTIME],
    ['iversion', 'noiversion', mount.MS_I_VERSION],
    ['silent', 'loud', mount.MS_SILENT],
    ['dirsync', '', mount.MS_DIRSYNC],
    ['remount', '', mount.MS_REMOUNT],
  ] as const) {
    t.match(parseMountOptions(word), { flags: flag, data: '' }, word)
    t.match(parseMountOptions(`defaults,${word}`), { flags: flag, data: '' }, word)
    t.same(formatMountFlags(flag), [word])
    if (opposite === '') continue
    t.match(parseMountOptions(opposite), { flags: 0, data: '' }, opposite)
    t.match(parseMountOptions(`${word},${opposite}`), { flags: 0 }, `${word},${opposite}`)
    t.match(parseMountOptions(`${opposite},${word}`), { flags: flag }, `${opposite},${word}`)
  }
})

t.test('binds, moves and propagation', async t => {
  for (const [word, flags, propagation] of [
    ['bind', mount.MS_BIND, []],
    ['rbind', mount.MS_BIND | mount.MS_REC, []],
    ['move', mount.MS_MOVE, []],
    ['private', 0, [mount.MS_PRIVATE]],
    ['rprivate', 0, [mount.MS_PRIVATE | mount.MS_REC]],
    ['shared', 0, [mount.MS_SHARED]],
    ['rshared', 0, [mount.MS_SHARED | mount.MS_REC]],
    ['slave', 0, [mount.MS_SLAVE]],
    ['rslave', 0, [mount.MS_SLAVE | mount.MS_REC]],
    ['unbindable', 0, [mount.MS_UNBINDABLE]],
    ['runbindable', 0, [mount.MS_UNBINDABLE | mount.MS_REC]],
  ] as const) {
    const options = parseMountOptions(word)
    t.same([options.flags, options.propagation, options.data], [flags, propagation, ''], word)
  }
})

t.test('of the kinds of atime the last one counts', async t => {
  t.equal(parseMountOptions('noatime,strictatime').flags, mount.MS_STRICTATIME)
  t.equal(parseMountOptions('strictatime,relatime').flags, mount.MS_RELATIME)
})

t.test('async is no flag: it does not make a mount read-only', async t => {
  t.equal(parseMountOptions('rw,async').flags, 0)
})

t.test('everything else is for the file system, in order', async t => {
  for (const [options, data] of [
    ['rw,size=1m,nosuid,mode=1777', 'size=1m,mode=1777'],
    ['lowerdir=/a:/b,upperdir=/c,workdir=/d', 'lowerdir=/a:/b,upperdir=/c,workdir=/d'],
    ['context="system_u:object_r:t:s0,c1",ro', 'context="system_u:object_r:t:s0,c1"'],
    ['nosiud', 'nosiud'],
    ['', ''],
    [',,rw,,', ''],
  ] as const)
    t.equal(parseMountOptions(options).data, data, options)
})

t.test('words for user space', async t => {
  t.equal(parseMountOptions('noauto').noauto, true)
  t.equal(parseMountOptions('noauto,auto').noauto, false)
  t.equal(parseMountOptions('nofail').nofail, true)
  t.equal(parseMountOptions('x-mount.mkdir=750').mkdirMode, 0o750)
  t.equal(parseMountOptions('X-mount.subdir=a b').subdirectory, 'a b')
  t.match(parseMountOptions('nouser,nogroup,noowner,_netdev,x-a=b,X-c,comment=d'), { flags: 0, data: '' })
})
