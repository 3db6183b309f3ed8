// What of the user's is where on the other machine, and what of it the other machine may see: from -namespace, -fstab,
// -cd and -export.
import fs from 'node:fs'
import path from 'node:path'
import type { CPU_FLAGS } from '../cli/cpu-flags.js'
import type { ParsedFlags } from '../cli/flags.js'
import { UsageError } from '../errors.js'
import { parseFstab } from '../fstab/parse.js'
import { namespaceFstab } from '../namespace/namespace-fstab.js'
import { type Binding, parseNamespace } from '../namespace/parse-namespace.js'
import { MOUNT_ROOT } from '../namespace/plan.js'
import { isWithin } from '../namespace/working-directory.js'
import { readText } from './destination.js'
import { resolveInExport } from './export-path.js'

type Values = ParsedFlags<typeof CPU_FLAGS>['values']

export interface NamespaceSettings {
  /** The text of CPU_FSTAB: the namespace's binds and the user's own lines. */
  readonly fstab: string
  /** Where the program starts. */
  readonly workingDirectory: string
  /** What of the files is shown to the other machine, by absolute paths from `-root`; undefined for everything. */
  readonly shown: readonly string[] | undefined
}

/**
 * `inherited` is the fstab of the environment, `defaultNamespace` what ssh_config has for the host. Throws UsageError, and CpuError for files that cannot be used.
 */
export function namespaceSettings(
  values: Values,
  hasFiles: boolean,
  inherited: string,
  defaultNamespace: string | undefined,
  log: (line: string) => void,
): NamespaceSettings {
  if (values.ssh) return plainSsh(values)
  const locate = locator(values.root)
  const { workingDirectory, served } = startingPlace(values, hasFiles, locate, log)
  const userFstab = values.fstab === undefined ? inherited : readText(values.fstab, '-fstab')
  const bindings =
    hasFiles || values.namespace !== undefined ? parseNamespace(values.namespace, defaultNamespace) : []
  if (!hasFiles && bindings.length > 0) {
    throw new UsageError(
      `-namespace ${values.namespace} needs files to bind, and none are served`,
      'leave one of them out',
    )
  }
  return {
    fstab: namespaceFstab({
      bindings,
      workingDirectory:
        bindings.length > 0 && served !== undefined
          ? { remotePath: workingDirectory, localPath: served }
          : undefined,
      userFstab,
      locate,
      isFile: exported => !fs.statSync(path.join(values.root, exported)).isDirectory(),
    }),
    workingDirectory,
    shown: showsAll(values, bindings) ? undefined : shownPaths(bindings, served, userFstab, locate),
  }
}

/** Where a path leads within what is served; looked up once, since several ask. */
function locator(root: string): (local: string) => string | undefined {
  const known = new Map<string, string | undefined>()
  return local => {
    if (!known.has(local)) known.set(local, resolveInExport(root, local))
    return known.get(local)
  }
}

/** Where the program starts, and which directory that is of those served, by its path from `-root`, if it is one. */
function startingPlace(
  { cd, root }: Values,
  hasFiles: boolean,
  locate: (local: string) => string | undefined,
  log: (line: string) => void,
): { readonly workingDirectory: string; readonly served: string | undefined } {
  const here = path.resolve(cd ?? '')
  if (!hasFiles) return { workingDirectory: here, served: undefined }
  const top = realPath(path.resolve(root))
  const served = isWithin(here, top) ? path.resolve('/', path.relative(top, here)) : undefined
  if (cd !== undefined) return { workingDirectory: here, served: served && locate(served) && served }
  if (served !== undefined) return { workingDirectory: here, served }
  log(`${here} is not below ${root} (-root), so the command starts in ${MOUNT_ROOT}`)
  return { workingDirectory: '/', served: undefined }
}

/** What does not exist is told by the file server. */
function realPath(name: string): string {
  try {
    return fs.realpathSync(name)
  } catch {
    return name
  }
}

function plainSsh({
  cd,
  namespace,
  fstab,
  export: choice,
  'fstab-strict': strict,
}: Values): NamespaceSettings {
  const given = { namespace, fstab, export: choice, 'fstab-strict': strict || undefined }
  const [other] = Object.entries(given).find(([, value]) => value !== undefined) ?? []
  if (other !== undefined)
    throw new UsageError(`-ssh mounts nothing, and -${other} says what to mount`, 'leave one of them out')
  return { fstab: '', workingDirectory: path.resolve(cd ?? ''), shown: undefined }
}

/** Without a namespace the files are below the mount alone, where whoever wants that looks for whatever there is. */
function showsAll({ export: choice }: Values, bindings: readonly Binding[]): boolean {
  return choice === undefined ? bindings.length === 0 : choice === 'all'
}

function shownPaths(
  bindings: readonly Binding[],
  workingDirectory: string | undefined,
  userFstab: string,
  locate: (local: string) => string | undefined,
): string[] | undefined {
  const named = [
    ...bindings.map(({ localPath }) => localPath).filter(name => locate(name) !== undefined),
    ...(workingDirectory === undefined ? [] : [workingDirectory]),
    ...pathsBelowMount(userFstab),
  ]
  // A link on the way is shown as well as where it leads.
  const all = named.flatMap(name => [name, locate(name) ?? name])
  if (all.includes('/')) return undefined
  return [...new Set(all)]
}

/** What the user's own lines take from the mount: the source of a bind, a directory of an overlay. */
function pathsBelowMount(fstab: string): string[] {
  return parseFstab(fstab)
    .entries.flatMap(({ source, target, options }) => [source, target, ...options.split(/[,=:]/)])
    .filter(word => isWithin(word, MOUNT_ROOT))
    .map(word => path.posix.resolve('/', word.slice(MOUNT_ROOT.length + 1)))
}
