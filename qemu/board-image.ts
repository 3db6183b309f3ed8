// An image for a machine that no launcher starts, as docs/pid1.md has it: the base image of a kernel, and behind it
// who may log in, the host's key, and further modules. The kernel's command line says the rest.

import { randomBytes } from 'node:crypto'
import { rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { INIT_PLACES } from '../src/cpud/settings.js'
import { baseImage, extendImage, furtherModules } from './image.js'
import type { Kernel } from './kernel.js'
import { ModuleTree } from './modules.js'
import { requireModules } from './required-modules.js'
import { writeError } from './write-error.js'

export interface BoardOptions {
  readonly kernel: Kernel
  /** Where the image goes. */
  readonly target: string
  /** As in sshd(8). */
  readonly authorizedKeys: string
  /** OpenSSH private key text. */
  readonly hostKey: string
  readonly hostname?: string | undefined
  /** Names of modules besides those that every image has. */
  readonly modules: readonly string[]
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((line: string) => void) | undefined
}

/**
 * Writes the image, mode 0600, or nothing. Throws UsageError for an unknown module, CpuError ERR_CPU_VM_WRITE and those of
 * `baseImage`.
 */
export async function writeBoardImage(options: BoardOptions): Promise<void> {
  const { kernel, target, hostname, signal, onProgress } = options
  const tree = new ModuleTree(kernel.modulesDirectory)
  requireModules(options.modules, kernel, tree)
  const { files: modules } = await tree.plan(options.modules)
  const files = {
    ...(await furtherModules(kernel, tree, modules)),
    [INIT_PLACES.keys]: options.authorizedKeys,
    [INIT_PLACES.hostKey]: options.hostKey,
    ...(hostname === undefined ? {} : { '/etc/hostname': `${hostname}\n` }),
  }
  const base = await baseImage({ kernel, tree, signal, onProgress })
  const temporary = `${target}.${randomBytes(6).toString('hex')}`
  try {
    await extendImage(base, files, temporary)
    await rename(temporary, target)
  } catch (error) {
    throw writeError(error, dirname(target), '-o FILE')
  } finally {
    await rm(temporary, { force: true })
  }
}
