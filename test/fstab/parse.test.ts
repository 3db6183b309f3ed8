import t from 'tap'
import { formatFstab, formatFstabLine } from '../../src/fstab/format.js'
import { parseFstab } from '../../src/fstab/parse.js'

const line = (text: string) => {
  const { entries, problems } = parseFstab(text)
  t.same(problems, [], text)
  t.equal(entries.length, 1, text)
  return entries[0]!
}

t.test('fields', async t => {
  for (const [text, expected] of [
    ['myfs /mnt virtiofs rw 1 2', ['myfs', '/mnt', 'virtiofs', 'rw', 1, 2]],
    ['myfs /mnt virtiofs rw 1', ['myfs', '/mnt', 'virtiofs', 'rw', 1, 0]],
    ['myfs /mnt virtiofs rw', ['myfs', '/mnt', 'virtiofs', 'rw', 0, 0]],
    ['myfs /mnt virtiofs', ['myfs', '/mnt', 'virtiofs', 'defaults', 0, 0]],
    ['\t myfs\t/mnt \t virtiofs\t', ['myfs', '/mnt', 'virtiofs', 'defaults', 0, 0]],
    ['myfs /mnt virtiofs rw 0 0\r', ['myfs', '/mnt', 'virtiofs', 'rw', 0, 0]],
    ['my#fs /m#nt virtiofs', ['my#fs', '/m#nt', 'virtiofs', 'defaults', 0, 0]],
    ['/a\\040b /c\\011d none bind', ['/a b', '/c\td', 'none', 'bind', 0, 0]],
    ['/a\\012b\\134040 /c none bind', ['/a\nb\\040', '/c', 'none', 'bind', 0, 0]],
    ['/caf\\303\\251 /é none bind', ['/café', '/é', 'none', 'bind', 0, 0]],
    ['o /m overlay lowerdir=/a\\:b:/c', ['o', '/m', 'overlay', 'lowerdir=/a\\:b:/c', 0, 0]],
  ] as const) {
    const { source, target, type, options, freq, passno } = line(text)
    t.same([source, target, type, options, freq, passno], expected, JSON.stringify(text))
  }
})

t.test('lines keep their number', async t => {
  const { entries, problems } = parseFstab('# comment\n\n  # another\na /a tmpfs\r\n\r\n\t\nb /b tmpfs')
  t.same(problems, [])
  t.same(
    entries.map(entry => entry.origin),
    ['fstab:4', 'fstab:7'],
  )
  t.equal(parseFstab('a /a tmpfs', 'my.fstab').entries[0]?.origin, 'my.fstab:1')
})

t.test('a marker restarts the count', async t => {
  const { entries } = parseFstab(
    '#line 1 namespace\na /a tmpfs\n#line 1 fstab\n# mine\nb /b tmpfs\n#line x\nc /c tmpfs',
  )
  t.same(
    entries.map(entry => entry.origin),
    ['namespace:1', 'fstab:2', 'fstab:4'],
  )
})

t.test('every wrong line is named, and the others are read', async t => {
  const { entries, problems } = parseFstab(
    [
      'good /1 tmpfs',
      'few',
      'few /fields',
      'a b /many tmpfs rw 0 0',
      'a /m tmpfs rw x 0',
      'a /m tmpfs rw 0 -1',
      'a /m\\04 tmpfs',
      'a /m\\400 tmpfs',
      'a /m\\000 tmpfs',
      'a /m\\377 tmpfs',
      'a /m tmpfs # scratch',
      'good /2 tmpfs',
    ].join('\n'),
  )
  t.same(
    entries.map(entry => entry.target),
    ['/1', '/2'],
  )
  t.ok(problems.every(problem => problem.severity === 'error'))
  t.same(
    problems.map(problem => problem.message),
    [
      'fstab:2: too few fields: 1 of at least 3 (source, mount point, type)',
      'fstab:3: too few fields: 2 of at least 3 (source, mount point, type)',
      'fstab:4: too many fields: 7 of at most 6 (a space in a name is written \\040)',
      'fstab:5: field 5 (dump frequency) is not a number: "x"',
      'fstab:6: field 6 (fsck pass) is not a number: "-1"',
      'fstab:7: bad escape in "/m\\\\04" (three octal digits, such as \\040)',
      'fstab:8: bad escape in "/m\\\\400" (three octal digits, such as \\040)',
      'fstab:9: bad escape in "/m\\\\000" (three octal digits, such as \\040)',
      'fstab:10: bad escape in "/m\\\\377" (three octal digits, such as \\040)',
      'fstab:11: a comment needs a line of its own',
    ],
  )
})

t.test('writing', async t => {
  t.equal(
    formatFstabLine({ source: '/tmp/cpu/lib', target: '/lib', type: 'none', options: 'defaults,bind' }),
    '/tmp/cpu/lib /lib none defaults,bind 0 0',
  )
  t.equal(
    formatFstabLine({ source: 'myfs', target: '/mnt', type: 'virtiofs' }),
    'myfs /mnt virtiofs defaults 0 0',
  )
  t.equal(
    formatFstabLine({ source: '#x', target: '/a b', type: 'none' }),
    '\\043x /a\\040b none defaults 0 0',
  )
})

t.test('what is written is read back', async t => {
  const entries = [
    '/plain',
    '/a b',
    '/tab\there',
    '/line\nfeed',
    '/back\\slash',
    '/\\040',
    '/é',
    '/cr\r',
  ].map(name => ({
    source: `#${name}`,
    target: name,
    type: 'none',
    options: `bind,x=${name}`,
    freq: 1,
    passno: 2,
  }))
  const { entries: back, problems } = parseFstab(formatFstab(entries))
  t.same(problems, [])
  t.same(
    back.map(({ origin, ...fields }) => fields),
    entries,
  )
})
