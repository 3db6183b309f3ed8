import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { backportsEntry } from '../../qemu/debian-backports.js'
import { isElf64 } from '../../qemu/elf.js'
import { describeKernel, findKernel, isBackport, parseConfig } from '../../qemu/kernel.js'
import { ModuleTree, readModule } from '../../qemu/modules.js'
import { bootImage, extractVmlinux, kernelRelease } from '../../qemu/vmlinux.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'
import { realKernel } from './real-kernel.js'

t.test('a .config', t => {
  const options = parseConfig(
    '# CONFIG_9P_FS is not set\nCONFIG_FUSE_FS=m\nCONFIG_PVH=y\nCONFIG_LOCALVERSION=""\n',
  )
  t.strictSame(
    [...options],
    [
      ['FUSE_FS', 'm'],
      ['PVH', 'y'],
      ['LOCALVERSION', '""'],
    ],
  )
  t.end()
})

t.test("Debian's kernel has everything, as modules", async t => {
  const kernel = await realKernel()
  t.match(kernel.release, /^\d+\.\d+\.\d+-\d+-amd64$/)
  t.ok(kernel.modulesDirectory?.endsWith(`lib/modules/${kernel.release}`))
  t.strictSame(Object.keys(kernel.features), ['9p', 'fuse', 'virtiofs', 'vsock', 'kvm'])
  t.notOk(Object.values(kernel.features).includes('absent'))
})

t.test("a kernel of Debian's backports", async t => {
  const sources = aptSources()
  const kernel = await realKernel('backports/amd64')
  t.same(aptSources(), sources, "the machine's own apt is as it was")

  const own = await realKernel()
  t.ok(isBackport(kernel))
  t.notOk(isBackport(own))
  t.equal(kernel.release.localeCompare(own.release, 'en', { numeric: true }), 1)
  t.notOk(Object.values(kernel.features).includes('absent'))
  t.not((await findKernel()).image, kernel.image, 'a machine boots it only when told to')

  const { files, missing } = await new ModuleTree(kernel.modulesDirectory).plan(['9p', '9pnet_fd', 'vsock'])
  t.same(missing, [])
  t.match(files.map(({ name }) => name).join(), /9pnet,.*9p,9pnet_fd,vsock$/)
  for (const { path } of files) t.ok(isElf64(await readModule(path)), path)

  const vmlinux = await bootImage(kernel.image)
  t.not(vmlinux, kernel.image, 'its ELF kernel comes out')
  t.equal(await kernelRelease(vmlinux), kernel.release)
})

/** The entries of apt's sources, and what it has fetched for them. */
function aptSources(): string[] {
  const list = (path: string) => readdirSync(path, { recursive: true, encoding: 'utf8' }).sort()
  return [...list('/etc/apt'), ...list('/var/lib/apt/lists')]
}

t.test("the source entry of backports is that of the machine's release", t => {
  const paragraphs = `# comment
Types: deb
URIs: http://mirror/security
Suites: trixie-security
Components: main

Types: deb deb-src
# comment
URIs: http://mirror/debian
Suites: trixie
 trixie-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEY865
Enabled: yes
`
  t.strictSame(backportsEntry('/etc/apt/sources.list.d/debian.sources', paragraphs, 2, 'trixie'), {
    format: 'sources',
    text: `Types: deb
Suites: trixie-backports
Components: main
URIs: http://mirror/debian
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEY865
Enabled: yes
`,
  })
  t.equal(backportsEntry('/etc/apt/sources.list.d/debian.sources', paragraphs, 3, 'trixie'), undefined)

  const lines = `# deb http://mirror/debian trixie main
deb-src http://mirror/debian trixie main
deb [ arch=amd64 signed-by=/keys/a.gpg ] http://mirror/debian trixie main contrib # comment
deb http://mirror/debian trixie main`
  const entry = (number: number) => backportsEntry('/etc/apt/sources.list', lines, number, 'trixie')?.text
  t.strictSame([1, 2, 3, 4, 5].map(entry), [
    undefined,
    undefined,
    'deb [ arch=amd64 signed-by=/keys/a.gpg ] http://mirror/debian trixie-backports main\n',
    'deb http://mirror/debian trixie-backports main\n',
    undefined,
  ])
  t.end()
})

t.test('without a config the modules tell', async t => {
  const { image, release, modulesDirectory, features } = await realKernel()
  const directory = mkdtempSync(join(tmpdir(), 'kernel-test-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  mkdirSync(join(directory, 'boot'))
  const copy = join(directory, 'boot', 'vmlinuz')
  copyFileSync(image, copy)
  const bare = await describeKernel(copy)
  t.equal(bare.release, release)
  t.equal(bare.modulesDirectory, undefined)
  t.equal(bare.features['9p'], 'absent')
  const { features: read } = await describeKernel(copy, modulesDirectory)
  t.strictSame(read, features)
})

t.test('the ELF kernel comes out of the bzImage, with a PVH entry', async t => {
  const { image, release } = await realKernel()
  const vmlinux = await bootImage(image)
  t.not(vmlinux, image)
  t.equal(await bootImage(image), vmlinux)
  t.ok(isElf64(readFileSync(vmlinux)))
  t.equal(await kernelRelease(vmlinux), release)
  t.equal(await bootImage(vmlinux), vmlinux)
})

t.test('a damaged payload is no error: the bzImage itself is booted', async t => {
  const { image } = await realKernel()
  const damaged = Buffer.from(readFileSync(image))
  damaged.fill(0, damaged.length >> 1)
  await t.rejects(extractVmlinux(damaged, 'damaged'), { code: 'ERR_CPU_VM_DECOMPRESS' })
  const file = join(temporaryDirectory(t), 'vmlinuz')
  writeFileSync(file, damaged)
  t.equal(await bootImage(file), file)
})

t.test('what is no kernel', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'kernel-test-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const text = join(directory, 'text')
  writeFileSync(text, 'hello')
  await t.rejects(describeKernel(text), { code: 'ERR_CPU_VM_KERNEL_INVALID' })
  await t.rejects(describeKernel(join(directory, 'none')), { code: 'ERR_CPU_VM_KERNEL_MISSING' })
  const { image } = await realKernel()
  await t.rejects(describeKernel(image, directory), { code: 'ERR_CPU_VM_MODULES_MISSING' })
})

t.test('an empty cache says how to fill it', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'kernel-test-'))
  const before = process.env['XDG_CACHE_HOME']
  process.env['XDG_CACHE_HOME'] = directory
  t.teardown(() => {
    if (before === undefined) delete process.env['XDG_CACHE_HOME']
    else process.env['XDG_CACHE_HOME'] = before
    rmSync(directory, { recursive: true })
  })
  await t.rejects(findKernel(), { code: 'ERR_CPU_VM_KERNEL_MISSING', remedy: /cpu-vm kernel -fetch/ })
})
