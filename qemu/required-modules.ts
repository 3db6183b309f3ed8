// `-module NAME`: modules that the user names, and what to say of one that the kernel has not.

import { UsageError } from '../src/errors.js'
import { moduleName } from '../src/linux/modules-dep.js'
import { nearestName } from '../src/nearest-name.js'
import type { Kernel } from './kernel.js'
import type { ModuleTree } from './modules.js'

const SUGGESTIONS = 3

/** Throws UsageError for the first module that `kernel` has neither as a file nor in itself. */
export function requireModules(
  wanted: readonly string[],
  { release, modulesDirectory }: Pick<Kernel, 'release' | 'modulesDirectory'>,
  tree: ModuleTree,
): void {
  const missing = wanted.find(name => tree.presence(name) === 'absent')
  if (missing === undefined) return
  if (modulesDirectory === undefined) {
    throw new UsageError(
      `the modules of kernel ${release} are not known, so ${missing} cannot be loaded (-module)`,
      `name the directory lib/modules/${release} with -modules, or leave it out if it is part of the kernel`,
    )
  }
  const near = nearNames(moduleName(missing), [...tree.names, ...tree.builtin])
  throw new UsageError(
    `kernel ${release} has no module ${missing}`,
    near.length === 0 ? `they are below ${modulesDirectory}` : `did you mean ${near.join(', ')}?`,
  )
}

/** Those of which it is a part, the shortest first, behind the one that is written most like it. */
function nearNames(name: string, names: readonly string[]): string[] {
  const nearest = nearestName(name, names)
  const longer = names.filter(candidate => candidate.includes(name)).sort((a, b) => a.length - b.length)
  return [...new Set([...(nearest === undefined ? [] : [nearest]), ...longer])].slice(0, SUGGESTIONS)
}
