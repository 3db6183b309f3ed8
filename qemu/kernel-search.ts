// Which kernels can be booted here, and which of them is meant: by path, or by release. debian-kernel.ts fetches more.

import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { CpuError, UsageError } from '../src/errors.js'
import { nearestName } from '../src/nearest-name.js'
import { type Architecture, ownArchitecture, platforms } from './architecture.js'
import { cacheDirectory } from './cache.js'
import { describeKernel, imageIn, type Kernel } from './kernel.js'
import { buildDirectory, isFile } from './kernel-config.js'
import { kernelArchitecture } from './vmlinux.js'

export interface KernelChoice {
  /**
   * A bzImage, Image or vmlinux, the directory in which one was built, or a release that is in the cache or in /boot; by default
   * the best of the cache.
   */
  readonly kernel?: string | undefined
  /** Its lib/modules/RELEASE; by default looked for around the kernel. */
  readonly modules?: string | undefined
  /** For which it must be; by default whatever is named, and of the cache one for this machine's. */
  readonly arch?: Architecture | undefined
}

/** Who is told of a kernel that is passed over, and why. */
type OnProblem = (error: CpuError) => void

/** Where fetched packages lie, one unpacked directory each. */
export function kernelCache(): string {
  return join(cacheDirectory(), 'kernels')
}

/**
 * The kernel to boot. Throws UsageError for one of another architecture, and CpuError ERR_CPU_VM_KERNEL_MISSING (no such one, or none in the cache),
 * ERR_CPU_VM_KERNEL_INVALID (the file is no kernel) or ERR_CPU_VM_MODULES_MISSING.
 */
export async function findKernel({ kernel, modules, arch }: KernelChoice = {}): Promise<Kernel> {
  if (kernel !== undefined && isPath(kernel))
    return checkArchitecture(await describeKernel(kernel, modules), arch)
  const found = kernel === undefined ? await bestKernel(arch) : await kernelOfRelease(kernel)
  return checkArchitecture(modules === undefined ? found : await describeKernel(found.image, modules), arch)
}

function checkArchitecture(kernel: Kernel, wanted: Architecture | undefined): Kernel {
  if (wanted === undefined || kernel.architecture === wanted) return kernel
  throw new UsageError(
    `kernel ${kernel.image} is for ${kernel.architecture}, and -arch ${wanted} asks for another`,
    'leave one of them out',
  )
}

/** A directory that is named like a release is most likely the one of its modules. */
function isPath(name: string): boolean {
  return name.includes('/') || isFile(name) || imageIn(name) !== undefined
}

async function bestKernel(architecture = ownArchitecture()): Promise<Kernel> {
  const best = (await cachedKernels(architecture)).sort(compareKernels).at(0)
  if (best !== undefined) return best
  const which = architecture === ownArchitecture() ? '' : ` for ${architecture}`
  throw new CpuError('ERR_CPU_VM_KERNEL_MISSING', `no kernel${which} in ${kernelCache()}`, {
    remedy: `fetch one with: cpu-vm kernel -fetch ${platforms[architecture].debian}; or name one with -kernel`,
  })
}

async function kernelOfRelease(name: string): Promise<Kernel> {
  const known = [...(await cachedKernels()).sort(compareKernels), ...(await bootKernels(() => undefined))]
  const found = known.find(({ release }) => release === name)
  if (found !== undefined) return found
  if (existsSync(name)) return describeKernel(name)
  const releases = known.map(({ release }) => release)
  const nearest = nearestName(name, releases)
  throw new CpuError(
    'ERR_CPU_VM_KERNEL_MISSING',
    `no kernel ${name}: no such file, nor in the cache or /boot`,
    {
      remedy: nearest === undefined ? 'cpu-vm kernel shows those that there are' : `did you mean ${nearest}?`,
    },
  )
}

/** The kernels of all unpacked packages, or of those for one architecture. */
export async function cachedKernels(architecture?: Architecture): Promise<Kernel[]> {
  const kernels: Kernel[] = []
  for (const entry of (await readdir(kernelCache()).catch(() => [])).sort()) {
    if (entry.startsWith('.')) continue
    const image = await packagedImage(join(kernelCache(), entry))
    if (image === undefined) continue
    // To describe one that is not compressed takes reading all of it.
    if (architecture !== undefined && (await kernelArchitecture(image)) !== architecture) continue
    kernels.push(await describeKernel(image))
  }
  return kernels
}

/** The kernel in an unpacked package. */
export async function packagedImage(directory: string): Promise<string | undefined> {
  const boot = join(directory, 'boot')
  const name = (await readdir(boot).catch(() => [])).find(name => name.startsWith('vmlinu'))
  return name === undefined ? undefined : join(boot, name)
}

/** The kernels that are installed on this machine. */
export async function bootKernels(onProblem: OnProblem, directory = '/boot'): Promise<Kernel[]> {
  const names = (await readdir(directory).catch(() => [])).filter(name => /^(vmlinu|bzImage)/.test(name))
  return describeAll(
    names.sort().map(name => join(directory, name)),
    onProblem,
  )
}

/** The one that was built in the current directory, if that is where kernels are built. */
export async function builtKernels(onProblem: OnProblem, directory = process.cwd()): Promise<Kernel[]> {
  return buildDirectory(join(directory, 'vmlinux')) === undefined ? [] : describeAll([directory], onProblem)
}

/** Each file once, by whatever links it can be reached. */
async function describeAll(paths: readonly string[], onProblem: OnProblem): Promise<Kernel[]> {
  const kernels = new Map<string, Kernel>()
  for (const path of paths) {
    try {
      const kernel = await describeKernel(path)
      kernels.set(kernel.image, kernel)
    } catch (error) {
      if (!(error instanceof CpuError)) throw error
      onProblem(error)
    }
  }
  return [...kernels.values()]
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
