import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t from 'tap'
import { GUEST_MODULES, ModuleTree, NESTED_MODULES } from '../../qemu/modules.js'
import { moduleName } from '../../src/linux/modules-dep.js'
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
  const plan = await new ModuleTree(modulesDirectory).plan([...GUEST_MODULES, ...NESTED_MODULES])
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
