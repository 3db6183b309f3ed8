import t from 'tap'
import { ninePMountOptions } from '../../src/namespace/ninep-mount.js'

const fixed = 'version=9p2000.L,trans=fd,rfdno=%9P%,wfdno=%9P%'

t.test('options by kernel', async t => {
  for (const [release, options, expected] of [
    ['6.12.57+deb13-amd64', {}, `${fixed},uname=root,msize=1048576,access=any,noxattr,cache=mmap`],
    ['6.1.0-41-amd64', {}, `${fixed},uname=root,msize=1048576,access=any,noxattr,cache=mmap`],
    ['', {}, `${fixed},uname=root,msize=1048576,access=any,noxattr,cache=mmap`],
    [
      '6.12.0',
      { user: 'me', msize: 262_168 },
      `${fixed},uname=me,msize=262168,access=any,noxattr,cache=mmap`,
    ],
    ['6.12.0', { user: 'a,b' }, `${fixed},uname=a_b,msize=1048576,access=any,noxattr,cache=mmap`],
    ['6.12.0', { msize: 4_194_304 }, `${fixed},uname=root,msize=1048576,access=any,noxattr,cache=mmap`],
    [
      '6.12.0',
      { extra: 'debug=4' },
      `${fixed},uname=root,msize=1048576,access=any,noxattr,cache=mmap,debug=4`,
    ],
  ] as const)
    t.same(ninePMountOptions(release, options), { data: expected, warnings: [] }, release)
})

t.test('cache modes by kernel', async t => {
  const cacheOf = (release: string, cache: 'none' | 'readahead' | 'mmap' | 'loose') => {
    const { data, warnings } = ninePMountOptions(release, { cache })
    return [/cache=(\w+)/.exec(data)?.[1], ...warnings]
  }
  for (const release of ['6.4.0', '6.12.57', '7.0.1', '10.0']) {
    t.same(cacheOf(release, 'loose'), ['loose'], release)
    t.same(cacheOf(release, 'readahead'), ['readahead'], release)
  }
  for (const release of ['6.3.9', '6.1.0-41-amd64', '5.15.0']) {
    t.same(cacheOf(release, 'none'), ['none'], release)
    t.same(cacheOf(release, 'mmap'), ['mmap'], release)
    t.same(cacheOf(release, 'loose'), [
      'mmap',
      `-cache loose needs Linux 6.4, this is ${release}: using mmap`,
    ])
    t.same(cacheOf(release, 'readahead'), [
      'mmap',
      `-cache readahead needs Linux 6.4, this is ${release}: using mmap`,
    ])
  }
})
