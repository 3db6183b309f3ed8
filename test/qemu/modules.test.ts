import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t from 'tap'
import { elfSection } from '../../qemu/elf.js'
import { BASE_MODULES, ModuleTree, moduleDependencies, modulesDep } from '../../qemu/modules.js'
import { requireModules } from '../../qemu/required-modules.js'
import { withoutDebugInformation } from '../../qemu/strip.js'
import { moduleName, parseModulesDep } from '../../src/linux/modules-dep.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'
import { realKernel } from './real-kernel.js'

t.test('names', t => {
  t.equal(moduleName('kernel/arch/x86/kvm/kvm-amd.ko.xz'), 'kvm_amd')
  t.equal(moduleName('9pnet_fd'), '9pnet_fd')
  t.end()
})

t.test('modules.dep: dependencies first, built-ins and missing ones told', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'modules-test-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const dependencies = [
    'kernel/fs/9p/9p.ko.xz: kernel/fs/fscache/fscache.ko.xz kernel/fs/netfs/netfs.ko.xz kernel/net/9p/9pnet.ko.xz',
    'kernel/fs/fscache/fscache.ko.xz: kernel/fs/netfs/netfs.ko.xz',
    'kernel/fs/netfs/netfs.ko.xz:',
    'kernel/net/9p/9pnet.ko.xz:',
    'kernel/net/9p/9pnet_fd.ko.xz: kernel/net/9p/9pnet.ko.xz',
  ]
  writeFileSync(join(directory, 'modules.dep'), `${dependencies.join('\n')}\n`)
  writeFileSync(join(directory, 'modules.builtin'), 'kernel/drivers/virtio/virtio_pci.ko\n')
  const plan = await new ModuleTree(directory).plan(['9p', '9pnet-fd', 'virtio_pci', 'nosuch'])
  t.strictSame(
    plan.files.map(({ name }) => name),
    ['9pnet', 'netfs', 'fscache', '9p', '9pnet_fd'],
  )
  t.equal(plan.files[0]?.path, join(directory, 'kernel/net/9p/9pnet.ko.xz'))
  t.strictSame(plan.builtin, ['virtio_pci'])
  t.strictSame(plan.missing, ['nosuch'])
})

t.test('a package that was never installed: dependencies from the modules themselves', async t => {
  const { modulesDirectory } = await realKernel()
  const plan = await new ModuleTree(modulesDirectory).plan(BASE_MODULES)
  const names = plan.files.map(({ name }) => name)
  t.strictSame(plan.missing, [])
  t.equal(new Set(names).size, names.length)
  const before = (first: string, second: string) =>
    t.ok(
      names.indexOf(first) >= 0 && names.indexOf(first) < names.indexOf(second),
      `${first} before ${second}`,
    )
  before('virtio_ring', 'virtio')
  before('virtio_pci_modern_dev', 'virtio_pci')
  before('9pnet', '9pnet_fd')
  before('netfs', '9p')
  before('fuse', 'virtiofs')
  before('vsock', 'vmw_vsock_virtio_transport')
  before('vmw_vsock_virtio_transport_common', 'vsock_loopback')
  before('ccp', 'kvm_amd')
  before('kvm', 'kvm_amd')
  before('vhost_iotlb', 'vhost_vsock')
})

t.test('modules.dep of ours tells all that is to be loaded before, in the order of loading', async t => {
  const { modulesDirectory } = await realKernel()
  const { files } = await new ModuleTree(modulesDirectory).plan(['ext4', 'kvm_intel', 'virtio_net'])
  const known = parseModulesDep(modulesDep(files))
  t.strictSame(
    [...known.keys()],
    files.map(({ name }) => name),
  )
  for (const { name, dependencies } of files) t.strictSame(known.get(name)?.dependencies, dependencies)
  t.strictSame([...(known.get('ext4')?.dependencies ?? [])].sort(), [
    'crc16',
    'crc32c_generic',
    'jbd2',
    'mbcache',
  ])
  t.strictSame(known.get('kvm_intel'), { path: 'kvm_intel.ko', dependencies: ['irqbypass', 'kvm'] })
  t.match(known.get('virtio_net')?.dependencies, ['virtio_ring', 'virtio', 'failover', 'net_failover'])
})

t.test('where a kernel was built, modules.order names objects, or what is not there', async t => {
  const tree = temporaryDirectory(t)
  const order = ['fs/fuse/fuse.o', 'kernel/net/9p/9pnet.ko', 'kernel/configs.ko', 'fs/ext4/ext4.o']
  writeFileSync(join(tree, 'modules.order'), `${order.join('\n')}\n`)
  writeFileSync(join(tree, 'modules.builtin'), 'kernel/fs/overlayfs/overlay.ko\n')
  for (const path of ['fs/fuse/fuse.ko', 'net/9p/9pnet.ko', 'kernel/configs.ko']) {
    mkdirSync(dirname(join(tree, path)), { recursive: true })
    writeFileSync(join(tree, path), '')
  }
  const modules = new ModuleTree(tree)
  t.strictSame(modules.names, ['fuse', '9pnet', 'configs'])
  t.equal(modules.path('9pnet'), join(tree, 'net/9p/9pnet.ko'))
  t.equal(modules.presence('ext4'), 'absent', 'it has not been built')
  t.equal(modules.presence('overlay'), 'builtin')
})

t.test('a module that the kernel has not: those that are like it', async t => {
  const kernel = await realKernel()
  const tree = new ModuleTree(kernel.modulesDirectory)
  requireModules(['ext4', 'kvm-intel', 'virtio_ring'], kernel, tree)
  const error = (name: string) => ({
    code: 'ERR_CPU_USAGE',
    message: `kernel ${kernel.release} has no module ${name}`,
  })
  t.throws(() => requireModules(['ext4', 'etx4'], kernel, tree), {
    ...error('etx4'),
    remedy: 'did you mean ext4?',
  })
  t.throws(() => requireModules(['vsock_virtio_trans'], kernel, tree), error('vsock_virtio_trans'))
  t.throws(() => requireModules(['virtio-transport'], kernel, tree), {
    ...error('virtio-transport'),
    remedy: /^did you mean vmw_vsock_virtio_transport, /,
  })
  t.throws(() => requireModules(['qqqqqqqqqq'], kernel, tree), {
    ...error('qqqqqqqqqq'),
    remedy: `they are below ${kernel.modulesDirectory}`,
  })
  const bare = { ...kernel, modulesDirectory: undefined }
  t.throws(() => requireModules(['ext4'], bare, new ModuleTree(undefined)), {
    code: 'ERR_CPU_USAGE',
    message: /the modules of kernel .* are not known, so ext4 cannot be loaded/,
    remedy: /with -modules, or leave it out/,
  })
})

t.test('what a module has for debuggers is left out, unless it is signed', async t => {
  const directory = temporaryDirectory(t)
  const source = join(directory, 'module.c')
  const object = join(directory, 'module.ko')
  writeFileSync(
    source,
    'int answer(void) { return 42; }\nchar depends[] __attribute__((section(".modinfo"))) = "depends=a";',
  )
  execFileSync('gcc', ['-g', '-c', '-o', object, source])
  const module = readFileSync(object)
  const stripped = await withoutDebugInformation(module)
  t.equal(elfSection(stripped, '.debug_info'), undefined)
  t.ok(elfSection(stripped, '.symtab'), 'which the kernel needs')
  t.strictSame(moduleDependencies(stripped), ['a'])
  t.equal(await withoutDebugInformation(stripped), stripped)
  const signed = Buffer.concat([module, Buffer.from('~Module signature appended~\n')])
  t.equal(await withoutDebugInformation(signed), signed)
})

t.test('a kernel without modules', async t => {
  const plan = await new ModuleTree(undefined).plan(['9p'])
  t.strictSame(plan, { files: [], builtin: [], missing: ['9p'] })
})

t.test('modules.order names the modules of compressed files without their ending', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'modules-test-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  writeFileSync(join(directory, 'modules.order'), 'kernel/fs/fuse/fuse.ko\n')
  const file = join(directory, 'kernel/fs/fuse/fuse.ko.zst')
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, '')
  t.equal(new ModuleTree(directory).presence('fuse'), 'module')
})
