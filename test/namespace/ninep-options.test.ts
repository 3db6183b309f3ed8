import t from 'tap'
import { formatNinePOptions, parseNinePOptions } from '../../src/namespace/ninep-options.js'

t.test('there and back', async t => {
  for (const options of [
    {},
    { cache: 'loose' as const },
    { msize: 65_560 },
    { readOnly: true },
    { extra: 'posixacl,debug=4' },
    { cache: 'none' as const, msize: 262_168, extra: 'locktimeout=5' },
  ])
    t.same(parseNinePOptions(formatNinePOptions(options)), options)
  t.equal(formatNinePOptions({ cache: 'mmap', msize: 8192, extra: 'a,b=c' }), 'cache=mmap,msize=8192,a,b=c')
})

t.test('what a user writes by hand', async t => {
  t.same(parseNinePOptions('cache=none,,cache=loose,msize=1,msize=8192'), { cache: 'loose', msize: 8192 })
  t.same(
    parseNinePOptions('cache=0x5,msize=x,cachetag=z'),
    { extra: 'cache=0x5,msize=x,cachetag=z' },
    'the kernel decides about what is not known here',
  )
})
