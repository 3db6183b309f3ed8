// cpu-vm image. What it writes is booted by test/e2e/pid1.test.ts.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { cacheDirectory } from '../../qemu/cache.js'
import { listCpio } from '../../qemu/cpio-list.js'
import { cpuVm } from '../fixtures/cpu-vm-command.js'
import { homeWith } from '../fixtures/home.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'
import { realKernel } from './real-kernel.js'

const { image: kernel, release } = await realKernel()
const directory = temporaryDirectory(t)
/** The cache stays that of this user, whatever the home. */
const cache = { XDG_CACHE_HOME: path.dirname(cacheDirectory()) }

const files = (archive: string) =>
  execFileSync('cpio', ['-t', '--quiet'], { input: fs.readFileSync(archive), encoding: 'utf8' })
    .trim()
    .split('\n')

t.test('where it is, and what its parts weigh', async t => {
  const { stdout, stderr, code } = await cpuVm(['image', '-json', '-list', '-kernel', kernel])
  t.equal(code, 0, stderr)
  const image = JSON.parse(stdout.toString())
  t.equal(image.size, fs.statSync(image.path).size)
  t.strictSame(image.kernel, { release, image: kernel })
  t.equal(image.hostKey, null)
  const parts = ['node', 'kernel modules', 'libraries', 'cpud', 'native modules', 'other']
  t.strictSame(
    image.parts.map(({ name }: { name: string }) => name),
    parts,
  )
  const weight = image.parts.reduce((sum: number, part: { size: number }) => sum + part.size, 0)
  t.ok(weight < image.size && weight > image.size - 50_000, 'all but names and modes')
  t.strictSame(
    image.files.map((file: { path: string }) => file.path.slice(1)),
    files(image.path),
    'as cpio(1) reads it',
  )

  const shown = (await cpuVm(['image', '-kernel', release])).stdout.toString()
  t.match(
    shown,
    new RegExp(`^image +${image.path}\nkernel +${release}\n\nPART +FILES +MIB\nnode +1 +\\d+\\.\\d\n`),
  )
  const listed = (await cpuVm(['image', '-list'])).stdout.toString()
  t.match(listed, /^drwxrwxrwx +0 \/tmp$/m)
  t.match(listed, /^crw------- +0 \/dev\/console$/m)
  t.match(listed, /^-rwxr-xr-x +\d{8} \/cpu-harness\/node$/m)
})

t.test('one for a machine of your own', async t => {
  const home = homeWith(t, [])
  const env = { ...home.env, ...cache }
  const target = path.join(directory, 'board.cpio')
  const write = (...flags: string[]) => cpuVm(['image', '-kernel', kernel, '-o', target, ...flags], { env })
  t.match(await write(), { code: 125, stderr: /no public key of yours is in .*ssh-keygen/ })

  const keys = ['id_rsa', 'id_ed25519'].map(name => {
    const key = path.join(home.directory, '.ssh', name)
    const type = name.replace('id_', '')
    execFileSync('ssh-keygen', ['-q', '-t', type, '-N', '', '-C', name, '-f', key])
    return fs.readFileSync(`${key}.pub`, 'utf8')
  })
  const hostKey = path.join(directory, 'host_key')
  const { stdout, stderr, code } = await write(
    '-hk',
    hostKey,
    '-hostname',
    'board',
    '-module',
    'ext4',
    '-json',
  )
  t.equal(code, 0, stderr)
  t.equal(
    JSON.parse(stdout.toString()).hostKey,
    fs.readFileSync(`${hostKey}.pub`, 'utf8').split(' ').slice(0, 2).join(' '),
  )
  t.equal(fs.statSync(target).mode & 0o777, 0o600, 'a private key is in it')
  t.strictSame(fs.readdirSync(directory).sort(), ['board.cpio', 'host_key', 'host_key.pub'])

  const root = unpack(target)
  const read = (name: string) => fs.readFileSync(path.join(root, name), 'utf8')
  t.equal(read('etc/cpu/authorized_keys'), keys.join(''))
  t.equal(read('etc/cpu/host_ed25519_key'), fs.readFileSync(hostKey, 'utf8'))
  t.equal(fs.statSync(path.join(root, 'etc/cpu/host_ed25519_key')).mode & 0o777, 0o600)
  t.equal(read('etc/hostname'), 'board\n')
  t.notOk(fs.existsSync(path.join(root, 'etc/cpu-harness.json')))
  const dependencies = read(`lib/modules/${release}/modules.dep`).split('\n').filter(Boolean)
  t.ok(dependencies.some(line => /^ext4\.ko: .*jbd2\.ko/.test(line)))
  for (const file of dependencies.flatMap(line => line.split(/:? /)).filter(Boolean))
    t.ok(fs.existsSync(path.join(root, `lib/modules/${release}`, file.replace(':', ''))), file)

  const again = JSON.parse((await write('-hk', hostKey, '-json')).stdout.toString())
  t.equal(again.hostKey, JSON.parse(stdout.toString()).hostKey, 'the host is known again')
  t.notOk((await listCpio(target)).some(file => file.path.endsWith('ext4.ko')))
})

function unpack(archive: string): string {
  const root = temporaryDirectory(t)
  // Two archives, one behind the other, as the kernel takes them; cpio(1) reads one.
  const data = fs.readFileSync(archive)
  const end = data.indexOf('TRAILER!!!')
  const second = data.indexOf('070701', end)
  for (const part of [data.subarray(0, second), data.subarray(second)])
    execFileSync('cpio', ['-idmu', '--quiet', '--no-absolute-filenames'], { cwd: root, input: part })
  return root
}

t.test('what cannot be', async t => {
  const target = path.join(directory, 'none.cpio')
  const empty = path.join(directory, 'empty')
  fs.writeFileSync(empty, '# nobody\n')
  const cases: [args: string[], stderr: RegExp][] = [
    [['-module', 'ext4'], /-module is for an image of your own \(add -o FILE\)/],
    [['-o', target, '-keys', empty], /empty holds no key that could log in/],
    [['-o', target, '-keys', '/none'], /cannot read the keys \/none: ENOENT/],
    [['-o', '/none/board.cpio'], /no such directory: \/none/],
    [['-o', directory], /is there, and is no file/],
    [['-o', target, '-hostname', 'a b'], /"a b" is no name of a machine/],
    [['-kernel', kernel, 'x'], /unexpected operand "x"/],
  ]
  for (const [args, message] of cases)
    t.match(await cpuVm(['image', ...args]), { code: 2, stderr: message }, args.join(' '))
  const key = path.join(directory, 'host_key.pub')
  const args = ['image', '-kernel', kernel, '-o', target, '-keys', key, '-module', 'etx4']
  t.match(await cpuVm(args), { code: 2, stderr: /no module etx4 \(did you mean ext4/ })
  t.notOk(
    fs.readdirSync(directory).some(name => name.startsWith('none.cpio')),
    'nothing is left behind',
  )
})
