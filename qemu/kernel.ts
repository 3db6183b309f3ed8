// What a kernel file is, where its modules are, and what it can do. kernel-search.ts finds one by its name.

import { existsSync, statSync } from 'node:fs'
import { realpath } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { CpuError } from '../src/errors.js'
import { ARCHITECTURES, type Architecture, platforms } from './architecture.js'
import { buildDirectory, isFile, type KernelFeatures, readKernelConfig } from './kernel-config.js'
import { ModuleTree } from './modules.js'
import { identifyKernel, type KernelIdentity } from './vmlinux.js'

export interface Kernel {
  /** bzImage, arm64 Image or vmlinux. */
  readonly image: string
  readonly release: string
  readonly architecture: Architecture
  /** lib/modules/RELEASE, or where the kernel was built, if there are any. */
  readonly modulesDirectory: string | undefined
  /** What its features were read from; undefined if nothing tells. */
  readonly configSource: string | undefined
  readonly features: KernelFeatures
}

/** In a directory where a kernel was built, and where Fedora and Arch keep one with its modules. */
const IMAGES_IN_DIRECTORY = [
  ...ARCHITECTURES.flatMap(name => platforms[name].builtImages),
  'vmlinux',
  'vmlinuz',
]

/**
 * What a kernel is and what belongs to it; `path` is a bzImage, an arm64 Image, a vmlinux, or a directory in which one was built.
 * Throws CpuError ERR_CPU_VM_KERNEL_MISSING, ERR_CPU_VM_KERNEL_INVALID or ERR_CPU_VM_MODULES_MISSING.
 */
export async function describeKernel(path: string, modules?: string): Promise<Kernel> {
  // /vmlinuz and a build's output are often links into the tree where the modules are.
  const image = await realpath(imageAt(path))
  const { release, architecture } = await identify(image)
  const modulesDirectory =
    modules === undefined ? findModules(image, release) : checkedModules(modules, release)
  const parts = { image, release, architecture, modulesDirectory }
  const { source, features } = await readKernelConfig(parts, new ModuleTree(modulesDirectory))
  return { ...parts, configSource: source, features }
}

function imageAt(path: string): string {
  const status = statSync(path, { throwIfNoEntry: false })
  if (status === undefined) {
    throw new CpuError('ERR_CPU_VM_KERNEL_MISSING', `no such kernel: ${path}`, {
      remedy:
        'name a bzImage, Image or vmlinux, the directory in which one was built, or a release of cpu-vm kernel',
    })
  }
  if (!status.isDirectory()) return path
  const image = imageIn(path)
  if (image !== undefined) return image
  throw new CpuError('ERR_CPU_VM_KERNEL_MISSING', `no kernel has been built in ${path}`, {
    remedy: `run make there, for ${platforms.x86_64.builtImages[0]} or ${platforms.aarch64.builtImages[0]}`,
  })
}

/** The kernel in a directory in which one was built. */
export function imageIn(directory: string): string | undefined {
  return IMAGES_IN_DIRECTORY.map(name => join(directory, name)).find(isFile)
}

async function identify(image: string): Promise<KernelIdentity> {
  let identity: KernelIdentity | undefined
  try {
    identity = await identifyKernel(image)
  } catch (cause) {
    throw new CpuError('ERR_CPU_VM_KERNEL_INVALID', `cannot read the kernel ${image}`, {
      cause,
      remedy: 'copy it to where you may read it, as root',
    })
  }
  if (identity === undefined) {
    throw new CpuError(
      'ERR_CPU_VM_KERNEL_INVALID',
      `${image} is neither a bzImage, nor an arm64 Image, nor a vmlinux`,
      {
        remedy: `name a kernel for ${ARCHITECTURES.join(' or ')}`,
      },
    )
  }
  if (identity.architecture !== 'x86_64' && identity.isElf) {
    throw new CpuError(
      'ERR_CPU_VM_KERNEL_INVALID',
      `${image} is a vmlinux for ${identity.architecture}, which QEMU cannot boot`,
      { remedy: `name ${platforms[identity.architecture].builtImages[0]} of the same build` },
    )
  }
  return identity
}

function findModules(image: string, release: string): string | undefined {
  const root = dirname(dirname(image))
  const candidates = [
    join(root, 'lib/modules', release),
    join(root, 'usr/lib/modules', release),
    // Fedora and Arch keep the kernel beside its modules.
    basename(dirname(image)) === release ? dirname(image) : undefined,
    buildDirectory(image),
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
