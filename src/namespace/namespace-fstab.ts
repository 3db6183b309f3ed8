// The bindings of -namespace as fstab text: what the client sends in CPU_FSTAB, before the user's own lines.

import { formatFstabLine } from '../fstab/format.js'
import { FILE_OPTION } from '../fstab/mount-options.js'
import { type Binding, namespaceError } from './parse-namespace.js'
import { MOUNT_ROOT } from './plan.js'
import { isBindable, isWithin } from './working-directory.js'

export interface NamespaceFstabOptions {
  readonly bindings: readonly Binding[]
  /** Made reachable at its own path if the bindings do not; undefined to leave that. */
  readonly workingDirectory?: Pick<Binding, 'remotePath' | 'localPath'> | undefined
  /** The user's own lines, sent as they are after the binds. */
  readonly userFstab?: string
  /** Where the user's files are mounted. */
  readonly mountRoot?: string
  /**
   * Where a local path is in what is served, links resolved: there they would lead into the other machine's files.
   * Undefined for one that does not exist.
   */
  readonly locate: (localPath: string) => string | undefined
  /** Whether that is anything but a directory. */
  readonly isFile: (exportedPath: string) => boolean
}

/**
 * The text of CPU_FSTAB: a bind line for each binding, one for the working directory, then the user's lines.
 * Throws UsageError for a local path that does not exist, unless only the default names it.
 */
export function namespaceFstab(options: NamespaceFstabOptions): string {
  const { workingDirectory, userFstab = '', mountRoot = MOUNT_ROOT, locate, isFile } = options
  const bindings = options.bindings.filter(binding => {
    if (locate(binding.localPath) !== undefined) return true
    if (!binding.isDefault) throw namespaceError(`${binding.localPath} does not exist here`)
    return false
  })
  if (workingDirectory !== undefined && needsBind(workingDirectory, bindings))
    bindings.push({ ...workingDirectory, isDefault: true })
  if (bindings.length === 0) return userFstab
  const lines = bindings.map(({ remotePath, localPath }) => {
    const exported = locate(localPath) ?? localPath
    return formatFstabLine({
      source: mountRoot + exported,
      target: remotePath,
      type: 'none',
      options: isFile(exported) ? `defaults,bind,${FILE_OPTION}` : 'defaults,bind',
    })
  })
  // the markers are comments, but our cpud counts each part's lines from 1: see fstab/parse.ts
  const own = `#line 1 namespace\n${lines.join('\n')}\n`
  return userFstab === '' ? own : `${own}#line 1 fstab\n${userFstab}`
}

/** Whether another directory than the local one, or none, would be seen at that path. */
function needsBind(
  { remotePath, localPath }: Pick<Binding, 'remotePath' | 'localPath'>,
  bindings: readonly Binding[],
): boolean {
  if (!isBindable(remotePath)) return false
  const cover = bindings.findLast(binding => isWithin(remotePath, binding.remotePath))
  return cover === undefined || cover.localPath + remotePath.slice(cover.remotePath.length) !== localPath
}
