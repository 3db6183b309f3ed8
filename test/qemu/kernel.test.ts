import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { fetchDebianKernel } from '../../qemu/debian-kernel.js'
import { sourceEntry } from '../../qemu/debian-lists.js'
import { isElf64 } from '../../qemu/elf.js'
import { describeKernel } from '../../qemu/kernel.js'
import { embeddedConfig, lackingFeatures, parseConfig } from '../../qemu/kernel-config.js'
import { bootKernels, builtKernels, findKernel, isBackport } from '../../qemu/kernel-search.js'
import { ModuleTree, readModule } from '../../qemu/modules.js'
import { bootImage, extractVmlinux, identifyKernel } from '../../qemu/vmlinux.js'
import { cpuVm } from '../fixtures/cpu-vm-command.js'
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
  t.strictSame(Object.keys(kernel.features), [
    '9p',
    'fuse',
    'virtiofs',
    'vsock',
    'virtio-net',
    'virtio-serial',
    'kvm',
  ])
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
  t.match(await identifyKernel(vmlinux), { release: kernel.release, architecture: 'x86_64' })
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
  t.strictSame(sourceEntry('/etc/apt/sources.list.d/debian.sources', paragraphs, 2, 'trixie-backports'), {
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
  t.equal(sourceEntry('/etc/apt/sources.list.d/debian.sources', paragraphs, 3, 'trixie-backports'), undefined)

  const lines = `# deb http://mirror/debian trixie main
deb-src http://mirror/debian trixie main
deb [ arch=amd64 signed-by=/keys/a.gpg ] http://mirror/debian trixie main contrib # comment
deb http://mirror/debian trixie main
deb [arch=amd64] http://mirror/debian trixie main`
  const entry = (number: number) =>
    sourceEntry('/etc/apt/sources.list', lines, number, 'trixie-backports')?.text
  t.strictSame([1, 2, 3, 4, 5, 6].map(entry), [
    undefined,
    undefined,
    'deb [ signed-by=/keys/a.gpg ] http://mirror/debian trixie-backports main\n',
    'deb http://mirror/debian trixie-backports main\n',
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
  t.equal(bare.features['9p'], 'unknown')
  const { features: read } = await describeKernel(copy, modulesDirectory)
  t.strictSame(read, features)
})

/** A source tree after make, with 9P and vsock as modules of which one has not been built, and without virtiofs. */
async function sourceTree(t: Test): Promise<string> {
  const { image } = await realKernel()
  const tree = temporaryDirectory(t)
  for (const folder of ['arch/x86/boot', 'include/config', 'net/9p', 'fs/9p'])
    mkdirSync(join(tree, folder), { recursive: true })
  copyFileSync(image, join(tree, 'arch/x86/boot/bzImage'))
  const options = [
    '9P_FS=m',
    'NET_9P=m',
    'NET_9P_FD=m',
    'FUSE_FS=y',
    'VSOCKETS=y',
    'VIRTIO_VSOCKETS=m',
    'VIRTIO_NET=y',
    'KVM=y',
  ]
  for (const file of ['.config', 'include/config/auto.conf'])
    writeFileSync(join(tree, file), options.map(option => `CONFIG_${option}\n`).join(''))
  writeFileSync(join(tree, 'modules.order'), 'fs/9p/9p.o\nnet/9p/9pnet.o\nnet/9p/9pnet_fd.o\n')
  for (const file of ['fs/9p/9p.ko', 'net/9p/9pnet.ko', 'net/9p/9pnet_fd.ko'])
    writeFileSync(join(tree, file), '')
  return realpathSync(tree)
}

t.test('a source tree after make', async t => {
  const tree = await sourceTree(t)
  const { release } = await realKernel()
  const expected = {
    image: join(tree, 'arch/x86/boot/bzImage'),
    release,
    architecture: 'x86_64',
    modulesDirectory: tree,
    configSource: join(tree, '.config'),
    features: {
      '9p': 'module',
      fuse: 'builtin',
      virtiofs: 'absent',
      vsock: 'absent',
      'virtio-net': 'builtin',
      'virtio-serial': 'absent',
      kvm: 'builtin',
    },
  }
  const kernel = await findKernel({ kernel: tree })
  t.strictSame(kernel, expected)
  t.strictSame(lackingFeatures(kernel.features), ['virtiofs', 'vsock', 'virtio-serial'])
  t.strictSame(await builtKernels(t.fail, tree), [expected])
  t.strictSame(await builtKernels(t.fail, tmpdir()), [])

  rmSync(join(tree, 'net/9p/9pnet_fd.ko'))
  t.equal((await findKernel({ kernel: tree })).features['9p'], 'absent', 'a module that has not been built')

  const installed = join(tree, 'installed/lib/modules', release)
  mkdirSync(installed, { recursive: true })
  writeFileSync(join(installed, 'modules.order'), '')
  const chosen = await findKernel({ kernel: tree, modules: join(tree, 'installed') })
  t.equal(chosen.modulesDirectory, installed, 'modules_install INSTALL_MOD_PATH')

  rmSync(join(tree, 'arch'), { recursive: true })
  await t.rejects(findKernel({ kernel: tree }), {
    code: 'ERR_CPU_VM_KERNEL_MISSING',
    message: `no kernel has been built in ${tree}`,
  })
})

t.test('a kernel by its release', async t => {
  const kernel = await realKernel()
  t.equal((await findKernel({ kernel: kernel.release })).image, kernel.image)
  await t.rejects(findKernel({ kernel: `${kernel.release}x` }), {
    code: 'ERR_CPU_VM_KERNEL_MISSING',
    remedy: `did you mean ${kernel.release}?`,
  })
})

t.test('the kernels of /boot, each once; what is none is told', async t => {
  const { image, release } = await realKernel()
  const root = realpathSync(temporaryDirectory(t))
  const boot = join(root, 'boot')
  mkdirSync(boot)
  copyFileSync(image, join(boot, `vmlinuz-${release}`))
  symlinkSync(`vmlinuz-${release}`, join(boot, 'vmlinuz'))
  writeFileSync(join(boot, 'vmlinuz-broken'), 'hello')
  writeFileSync(join(boot, 'initrd.img'), 'hello')
  const problems: string[] = []
  const kernels = await bootKernels(({ message }) => problems.push(message), boot)
  t.match(kernels, [{ image: join(boot, `vmlinuz-${release}`), release, configSource: undefined }])
  t.strictSame(problems, [
    `${join(boot, 'vmlinuz-broken')} is neither a bzImage, nor an arm64 Image, nor a vmlinux`,
  ])
})

t.test('a configuration within the kernel (CONFIG_IKCONFIG)', async t => {
  const config = gzipSync('CONFIG_FUSE_FS=y\nCONFIG_VSOCKETS=y\nCONFIG_VIRTIO_VSOCKETS=y\n')
  const marked = Buffer.concat([Buffer.from('IKCFG_ST'), config, Buffer.from('IKCFG_ED')])
  const vmlinux = readFileSync(await bootImage((await realKernel()).image))
  const file = join(temporaryDirectory(t), 'vmlinux')
  writeFileSync(file, Buffer.concat([vmlinux, marked]))
  const { features, configSource } = await describeKernel(file)
  t.equal(configSource, realpathSync(file))
  t.strictSame(features, {
    '9p': 'absent',
    fuse: 'builtin',
    virtiofs: 'absent',
    vsock: 'builtin',
    'virtio-net': 'absent',
    'virtio-serial': 'absent',
    kvm: 'absent',
  })
  t.equal(embeddedConfig(vmlinux), undefined)
  t.equal(embeddedConfig(Buffer.from('IKCFG_ST and no gzip IKCFG_ED')), undefined)
})

t.test('cpu-vm kernel', async t => {
  const tree = await sourceTree(t)
  const { release, image } = await realKernel()
  const shown = (await cpuVm(['kernel', tree])).stdout.toString()
  t.match(shown.split('\n')[1]?.split(/ +/), [
    release,
    'x86_64',
    'named',
    'virtiofs,vsock,virtio-serial',
    '3',
    /bzImage$/,
  ])
  const all: unknown[] = JSON.parse((await cpuVm(['kernel', '-json'], { cwd: tree })).stdout.toString())
  t.match(all[0], {
    release,
    from: 'build',
    lacks: ['virtiofs', 'vsock', 'virtio-serial'],
    config: join(tree, '.config'),
  })
  t.match(
    all.find(kernel => (kernel as { image: string }).image === image),
    { release, from: 'cache', lacks: [], features: { '9p': 'module' }, modules: Number },
  )
  t.match(await cpuVm(['kernel', join(tree, 'none')]), { code: 125, stderr: /no such kernel/ })
})

t.test('a Debian package by its name', async t => {
  const { image, release } = await realKernel()
  const name = `linux-image-${release}`
  const version = /_([^/]+)\/boot\//.exec(image)?.[1]
  t.equal((await fetchDebianKernel({ package: `${name}=${version}` })).image, image)
  t.equal((await fetchDebianKernel({ package: name })).image, image)
  await t.rejects(fetchDebianKernel({ package: `${name}=0` }), {
    code: 'ERR_CPU_VM_KERNEL_FETCH',
    message: `apt knows no package ${name}=0`,
  })
  const wrong = await cpuVm(['kernel', '-fetch', 'amd46'])
  t.match(wrong, { code: 2, stderr: /did you mean amd64\?/ })
})

t.test('the ELF kernel comes out of the bzImage, with a PVH entry', async t => {
  const { image, release } = await realKernel()
  const vmlinux = await bootImage(image)
  t.not(vmlinux, image)
  t.equal(await bootImage(image), vmlinux)
  t.ok(isElf64(readFileSync(vmlinux)))
  t.match(await identifyKernel(vmlinux), { release, architecture: 'x86_64' })
  t.equal(await bootImage(vmlinux), vmlinux)
})

t.test('kernels for aarch64', async t => {
  const { image, release, architecture, features } = await realKernel('arm64')
  t.equal(architecture, 'aarch64')
  t.match(release, /^\d+\.\d+\.\d+-\d+-arm64$/)
  t.notOk(Object.values(features).includes('absent'))
  t.equal(await bootImage(image), image, 'QEMU boots it as it is')
  t.equal((await findKernel({ arch: 'aarch64' })).image, image)
  t.equal((await findKernel()).architecture, 'x86_64')
  await t.rejects(findKernel({ kernel: release, arch: 'x86_64' }), {
    message: `kernel ${image} is for aarch64, and -arch x86_64 asks for another`,
  })

  const tree = temporaryDirectory(t)
  const zipped = join(tree, 'arch/arm64/boot/Image.gz')
  mkdirSync(dirname(zipped), { recursive: true })
  writeFileSync(zipped, gzipSync(readFileSync(image), { level: 1 }))
  t.match(await describeKernel(tree), { image: zipped, release, architecture: 'aarch64' })

  const vmlinux = Buffer.from(readFileSync(await bootImage((await realKernel()).image)))
  vmlinux.writeUInt16LE(183, 0x12) // EM_AARCH64
  writeFileSync(join(tree, 'vmlinux'), vmlinux)
  await t.rejects(describeKernel(join(tree, 'vmlinux')), {
    code: 'ERR_CPU_VM_KERNEL_INVALID',
    message: /is a vmlinux for aarch64, which QEMU cannot boot/,
  })
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
