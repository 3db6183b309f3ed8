import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { isElf64 } from '../../qemu/elf.js'
import { describeKernel, findKernel, parseConfig } from '../../qemu/kernel.js'
import { bootImage, extractVmlinux, kernelRelease } from '../../qemu/vmlinux.js'
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
  t.equal(await extractVmlinux(damaged, 'damaged'), undefined)
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
