import { mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execaSync } from 'execa'
import t from 'tap'
import { type CpioEntry, cpio, parentDirectories } from '../../qemu/cpio.js'

async function archive(entries: readonly CpioEntry[]): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of cpio(entries)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

const directory = mkdtempSync(join(tmpdir(), 'cpio-test-'))
t.teardown(() => rmSync(directory, { recursive: true }))
const source = join(directory, 'source')
writeFileSync(source, Buffer.alloc(70_001, 7))

const entries: readonly CpioEntry[] = [
  { type: 'directory', path: '/etc' },
  { type: 'directory', path: 'tmp', mode: 0o1777 },
  { type: 'file', path: '/etc/motd', data: 'grüezi\n', mode: 0o600 },
  { type: 'file', path: 'etc/empty', data: '' },
  { type: 'copy', path: 'etc/copy', from: source, mode: 0o755 },
  { type: 'symlink', path: 'etc/link', target: '../tmp' },
  { type: 'character-device', path: 'null', major: 1, minor: 3, mode: 0o666 },
]

t.test('cpio(1) reads what we write', async t => {
  const data = await archive(entries)
  t.equal(data.length % 512, 0)
  const list = execaSync('cpio', ['-t', '--quiet'], { input: data })
  t.strictSame(list.stdout.split('\n'), [
    'etc',
    'tmp',
    'etc/motd',
    'etc/empty',
    'etc/copy',
    'etc/link',
    'null',
  ])
  const target = join(directory, 'target')
  mkdirSync(target)
  execaSync('cpio', ['-id', '--quiet'], { input: data, cwd: target })
  t.equal(readFileSync(join(target, 'etc/motd'), 'utf8'), 'grüezi\n')
  t.strictSame(readFileSync(join(target, 'etc/copy')), readFileSync(source))
  t.equal(readlinkSync(join(target, 'etc/link')), '../tmp')
  t.equal(statSync(join(target, 'tmp')).mode & 0o7777, 0o1777)
  t.equal(statSync(join(target, 'etc/motd')).mode & 0o7777, 0o600)
  const device = statSync(join(target, 'null'))
  t.ok(device.isCharacterDevice())
  t.equal(device.rdev, statSync('/dev/null').rdev)
})

t.test('the same entries give the same bytes', async t => {
  t.strictSame(await archive(entries), await archive(entries))
})

t.test('archives can follow one another', async t => {
  const first = await archive([{ type: 'file', path: 'a', data: '1' }])
  const second = await archive([{ type: 'file', path: 'b', data: '2' }])
  t.equal(first.length % 512, 0)
  const list = execaSync('cpio', ['-t', '--quiet'], { input: second })
  t.equal(list.stdout, 'b')
})

t.test('parents come once, outermost first', t => {
  const known = new Set(['etc'])
  const paths = (path: string) => parentDirectories(path, known).map(entry => entry.path)
  t.strictSame(paths('/usr/lib/x/libc.so'), ['usr', 'usr/lib', 'usr/lib/x'])
  t.strictSame(paths('usr/lib/y/libm.so'), ['usr/lib/y'])
  t.strictSame(paths('etc/passwd'), [])
  t.end()
})
