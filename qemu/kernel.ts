// Which kernel to boot, where its modules are, and what it can do. debian-kernel.ts fetches one.

import { existsSync, readFileSync } from 'node:fs'
import { readdir, realpath } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { CpuError } from '../src/errors.js'
import { cacheDirectory } from './cache.js'
import { ModuleTree } from './modules.js'
import { kernelRelease } from './vmlinux.js'

export type Presence = 'builtin' | 'module' | 'absent'

/** What decides which of our ways a kernel can go. */
export interface KernelFeatures {
  /** The session's files by 9P: 9p with its file-descriptor transport. */
  readonly '9p': Presence
  readonly fuse: Presence
  readonly virtiofs: Presence
  /** AF_VSOCK over virtio. */
  readonly vsock: Presence
  /** KVM for guests of the guest. */
  readonly kvm: Presence
}

export interface Kernel {
  /** bzImage or vmlinux. */
  readonly image: string
  readonly release: string
  /** lib/modules/RELEASE, if there is one. */
  readonly modulesDirectory: string | undefined
  readonly features: KernelFeatures
}

export interface KernelChoice {
  /** A bzImage or vmlinux; by default the best of the cache. */
  readonly kernel?: string | undefined
  /** Its lib/modules/RELEASE; by default looked for around the kernel. */
  readonly modules?: string | undefined
}

/** Options and modules behind each feature; all of them are needed, any one of the names within brackets. */
const FEATURES: Readonly<
  Record<keyof KernelFeatures, readonly (readonly [option: string, module: string])[]>
> = {
  '9p': [
    ['9P_FS', '9p'],
    ['NET_9P', '9pnet'],
    ['NET_9P_FD', '9pnet_fd'],
  ],
  fuse: [['FUSE_FS', 'fuse']],
  virtiofs: [['VIRTIO_FS', 'virtiofs']],
  vsock: [
    ['VSOCKETS', 'vsock'],
    ['VIRTIO_VSOCKETS', 'vmw_vsock_virtio_transport'],
  ],
  kvm: [['KVM', 'kvm']],
}

/** Where fetched packages lie, one unpacked directory each. */
export function kernelCache(): string {
  return join(cacheDirectory(), 'kernels')
}

/**
 * The kernel to boot. Throws CpuError ERR_CPU_VM_KERNEL_MISSING (none chosen and none in the cache),
 * ERR_CPU_VM_KERNEL_INVALID (the file is no kernel) or ERR_CPU_VM_MODULES_MISSING.
 */
export async function findKernel(choice: KernelChoice = {}): Promise<Kernel> {
  if (choice.kernel !== undefined) return describeKernel(choice.kernel, choice.modules)
  const kernels = await cachedKernels()
  const best = kernels.sort(compareKernels).at(0)
  if (best !== undefined)
    return choice.modules === undefined ? best : describeKernel(best.image, choice.modules)
  throw new CpuError('ERR_CPU_VM_KERNEL_MISSING', `no kernel in ${kernelCache()}`, {
    remedy: 'fetch one with: cpu-vm kernel -fetch amd64; or name one with -kernel FILE',
  })
}

/** The kernels of all unpacked packages. */
export async function cachedKernels(): Promise<Kernel[]> {
  const kernels: Kernel[] = []
  for (const entry of (await readdir(kernelCache()).catch(() => [])).sort()) {
    if (entry.startsWith('.')) continue
    const boot = join(kernelCache(), entry, 'boot')
    const image = (await readdir(boot).catch(() => [])).find(name => name.startsWith('vmlinu'))
    if (image !== undefined) kernels.push(await describeKernel(join(boot, image)))
  }
  return kernels
}

/** Whether it was fetched from Debian's backports, whose versions say so. */
export function isBackport({ image }: Pick<Kernel, 'image'>): boolean {
  return basename(dirname(dirname(image))).includes('~bpo')
}

/** One with both protocols for a session's files before one without, the release's own before a backport, then the newer. */
function compareKernels(a: Kernel, b: Kernel): number {
  const has9p = Number(b.features['9p'] !== 'absent') - Number(a.features['9p'] !== 'absent')
  const isOwn = Number(isBackport(a)) - Number(isBackport(b))
  return has9p || isOwn || b.release.localeCompare(a.release, 'en', { numeric: true })
}

/** What a kernel image is and what belongs to it. Throws as findKernel. */
export async function describeKernel(path: string, modules?: string): Promise<Kernel> {
  if (!existsSync(path)) {
    throw new CpuError('ERR_CPU_VM_KERNEL_MISSING', `no such kernel: ${path}`, {
      remedy: 'name a bzImage or vmlinux with -kernel',
    })
  }
  // /vmlinuz and a build's output are often links into the tree where the modules are.
  const image = await realpath(path)
  const release = await kernelRelease(image)
  if (release === undefined) {
    throw new CpuError('ERR_CPU_VM_KERNEL_INVALID', `${path} is neither a bzImage nor a vmlinux`, {
      remedy: 'name a kernel for x86_64',
    })
  }
  const modulesDirectory =
    modules === undefined ? findModules(image, release) : checkedModules(modules, release)
  const config = findConfig(image, release, modulesDirectory)
  return { image, release, modulesDirectory, features: readFeatures(config, modulesDirectory) }
}

function findModules(image: string, release: string): string | undefined {
  const root = dirname(dirname(image))
  const candidates = [
    join(root, 'lib/modules', release),
    join(root, 'usr/lib/modules', release),
    // Fedora and Arch keep the kernel beside its modules.
    basename(dirname(image)) === release ? dirname(image) : undefined,
  ]
  return candidates.find(directory => directory !== undefined && existsSync(join(directory, 'modules.order')))
}

function checkedModules(directory: string, release: string): string {
  const candidates = [directory, join(directory, 'lib/modules', release), join(directory, release)]
  const found = candidates.find(candidate => existsSync(join(candidate, 'modules.order')))
  if (found !== undefined) return found
  throw new CpuError('ERR_CPU_VM_MODULES_MISSING', `no modules of ${release} in ${directory}`, {
    remedy: `name the directory lib/modules/${release} with -modules`,
  })
}

function findConfig(image: string, release: string, modules: string | undefined): string | undefined {
  const candidates = [
    join(dirname(image), `config-${release}`),
    ...(modules === undefined ? [] : [join(modules, 'config'), join(modules, 'build/.config')]),
    // arch/x86/boot/bzImage, and vmlinux, of a source tree.
    join(dirname(image), '../../../.config'),
    join(dirname(image), '.config'),
  ]
  return candidates.find(existsSync)
}

/** From the config where there is one: it also knows what has no modules.builtin beside it. */
function readFeatures(config: string | undefined, modulesDirectory: string | undefined): KernelFeatures {
  const options = config === undefined ? undefined : parseConfig(readFileSync(config, 'utf8'))
  const tree = new ModuleTree(modulesDirectory)
  const presence = (option: string, module: string): Presence => {
    if (options === undefined) return tree.presence(module)
    const value = options.get(option)
    return value === 'y' ? 'builtin' : value === 'm' ? 'module' : 'absent'
  }
  const features = Object.entries(FEATURES).map(([feature, parts]) => {
    const found = parts.map(([option, module]) => presence(option, module))
    return [feature, found.includes('absent') ? 'absent' : found.includes('module') ? 'module' : 'builtin']
  })
  return Object.fromEntries(features) as unknown as KernelFeatures
}

/** A kernel's .config: `CONFIG_9P_FS=m` gives `9P_FS` -> `m`; what is not set is not in it. */
export function parseConfig(text: string): Map<string, string> {
  const options = new Map<string, string>()
  for (const [, name, value] of text.matchAll(/^CONFIG_(\w+)=(.*)$/gm)) options.set(name!, value!)
  return options
}
