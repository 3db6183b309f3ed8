// Kernel modules for PID 1: files by their path, others by name as modprobe(8) finds them, which an initramfs may lack.

import { join } from 'node:path'
import { CpuError } from '../errors.js'
import { moduleName, parseModulesDep } from '../linux/modules-dep.js'
import { kernelRelease } from '../native/kernel-release.js'
import { readText } from '../native/read-text.js'
import { loadModule } from '../native/system.js'

/**
 * Loads them in their order, with what they depend on. Calls `onProblem` for each that is missing or cannot be loaded:
 * CpuError ERR_CPU_BOOT_OPTION or a SystemError.
 */
export function loadModules(
  wanted: readonly string[],
  onProblem: (error: Error) => void,
  directory = `/lib/modules/${kernelRelease()}`,
): void {
  // A launcher names files, and needs no list.
  let filesOf: ((name: string) => string[]) | undefined
  for (const name of wanted) {
    try {
      if (name.startsWith('/')) loadModule(name)
      else {
        filesOf ??= moduleFinder(directory)
        for (const file of filesOf(name)) loadModule(file)
      }
    } catch (error) {
      onProblem(error as Error)
    }
  }
}

/** The files of a module, in their order; none of one that is part of the kernel. */
function moduleFinder(directory: string): (name: string) => string[] {
  const known = parseModulesDep(readText(join(directory, 'modules.dep')))
  const builtin = new Set(readText(join(directory, 'modules.builtin')).split('\n').map(moduleName))
  return name => {
    if (builtin.has(moduleName(name))) return []
    const found = known.get(moduleName(name))
    if (found === undefined) throw missing(name, directory)
    const paths = [...found.dependencies.flatMap(dependency => known.get(dependency)?.path ?? []), found.path]
    return paths.map(path => join(directory, path))
  }
}

function missing(name: string, directory: string): CpuError {
  return new CpuError('ERR_CPU_BOOT_OPTION', `no kernel module ${name} in ${directory}/modules.dep`, {
    remedy: 'put it into the image and run depmod, or correct modules_load= on the kernel command line',
  })
}
