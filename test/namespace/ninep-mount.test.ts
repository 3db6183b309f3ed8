import t from 'tap'
import { CACHE_MODES, ninePMountOptions } from '../../src/namespace/ninep-mount.js'

const fixed = 'version=9p2000.L,trans=fd,rfdno=%9P%,wfdno=%9P%'

t.test('options', async t => {
  for (const [options, expected] of [
    [{}, 'uname=root,msize=1048576,access=any,noxattr,cache=mmap'],
    [{ user: 'me', msize: 262_168 }, 'uname=me,msize=262168,access=any,noxattr,cache=mmap'],
    [{ user: 'a,b' }, 'uname=a_b,msize=1048576,access=any,noxattr,cache=mmap'],
    [{ msize: 4_194_304 }, 'uname=root,msize=1048576,access=any,noxattr,cache=mmap'],
    [{ extra: 'debug=4' }, 'uname=root,msize=1048576,access=any,noxattr,cache=mmap,debug=4'],
  ] as const)
    for (const release of ['6.12.57+deb13-amd64', '6.1.0-41-amd64', ''])
      t.equal(ninePMountOptions(release, options), `${fixed},${expected}`)
})

t.test('every cache mode from Linux 6.4 on', async t => {
  for (const release of ['6.4.0', '6.12.57', '7.0.1', '10.0', '6.4-rc1', ''])
    for (const cache of CACHE_MODES)
      t.ok(ninePMountOptions(release, { cache }).endsWith(`,cache=${cache}`), `${release} ${cache}`)
})

t.test('before that, those without a page cache of their own', async t => {
  for (const release of ['6.3.9', '6.1.0-41-amd64', '5.15.0', '4.19']) {
    for (const cache of ['none', 'mmap'] as const)
      t.ok(ninePMountOptions(release, { cache }).endsWith(`,cache=${cache}`), `${release} ${cache}`)
    for (const cache of ['readahead', 'loose'] as const)
      t.throws(() => ninePMountOptions(release, { cache }), {
        code: 'ERR_CPU_CACHE_MODE',
        message: `-cache ${cache} needs Linux 6.4, and this is ${release}`,
        remedy: 'use -cache mmap or none, or boot a newer kernel',
      })
  }
})
