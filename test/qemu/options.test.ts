// What is written behind -share, -disk and -root.
import t from 'tap'
import { parseDisk } from '../../qemu/disk.js'
import { parseShare } from '../../qemu/flags.js'
import { locateRoot, parseRoot } from '../../qemu/guest-root.js'

t.test('shares', async t => {
  t.strictSame(parseShare('src=/home/me'), {
    tag: 'src',
    hostPath: '/home/me',
    readOnly: false,
    cache: 'auto',
  })
  t.match(parseShare('src=/a=b,c:ro'), { tag: 'src', hostPath: '/a=b,c', readOnly: true })
  t.match(parseShare('src=.:ro,cache=always'), { hostPath: '.', readOnly: true, cache: 'always' })
  t.match(parseShare('src=.,cache=never'), { hostPath: '.', readOnly: false, cache: 'never' })
  for (const text of ['', 'src', '=/a', 'src='])
    t.throws(() => parseShare(text), { code: 'ERR_CPU_USAGE' }, text)
  t.throws(() => parseShare('src=.,cache=some'), { message: /unknown cache some/, remedy: /never, auto/ })
})

t.test('roots', async t => {
  t.equal(parseRoot('none'), undefined)
  t.strictSame(parseRoot('virtiofs'), { type: 'virtiofs' })
  t.strictSame(parseRoot('9p=/srv/a=b,c'), { type: '9p', hostPath: '/srv/a=b,c' })
  for (const text of ['', '9p=', 'nfs', 'virtiofs:ro', 'none=/']) {
    t.throws(() => parseRoot(text), { code: 'ERR_CPU_USAGE', remedy: /-root 9p/ }, text)
  }
  t.equal(locateRoot('9p=tree', '/project'), '9p=/project/tree')
  t.equal(locateRoot('virtiofs', '/project'), 'virtiofs')
})

t.test('disks', async t => {
  const plain = { hostPath: 'a.img', format: 'raw', readOnly: false, snapshot: false }
  t.strictSame(parseDisk('a.img'), plain)
  t.strictSame(parseDisk('a.img:ro'), { ...plain, readOnly: true })
  t.strictSame(parseDisk('a.img,snapshot'), { ...plain, snapshot: true })
  t.strictSame(parseDisk('a:b,c.img:ro,snapshot').hostPath, 'a:b,c.img')
  t.equal(parseDisk('a.qcow2').format, 'qcow2')
  t.equal(parseDisk('a.qcow2,format=raw').format, 'raw', 'its name is not what it is')
  t.throws(() => parseDisk('a,format=vmdk'), { code: 'ERR_CPU_USAGE', message: /vmdk/ })
  for (const text of ['', ',snapshot']) t.throws(() => parseDisk(text), { code: 'ERR_CPU_USAGE' }, text)
})
