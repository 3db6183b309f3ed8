// -namespace: which of the user's directories appear where on the remote machine.

import path from 'node:path'
import { UsageError } from '../errors.js'
import { MOUNT_ROOT } from './plan.js'
import { isWithin } from './working-directory.js'

/** One directory of the user's on the remote machine. Both paths absolute and normal. */
export interface Binding {
  /** Where it appears. */
  readonly remotePath: string
  /** What appears there. */
  readonly localPath: string
  /** From the default namespace: left out where it does not exist. */
  readonly isDefault: boolean
}

/** The programs of another system would not run there. */
export const DEFAULT_NAMESPACE = process.platform === 'linux' ? '/lib:/lib64:/usr:/bin:/etc:/home' : '/Users'

/** In ssh_config, by SetEnv: the default for that host, where the programs of this machine do not run. */
export const NAMESPACE_VARIABLE = 'CPU_NAMESPACE'

/**
 * `:`-separated, each `DIR` or `REMOTE=LOCAL`. Empty or `none` is none, and a `+` in front adds to the default,
 * which is also what undefined is. Throws UsageError that names the element.
 */
export function parseNamespace(text: string | undefined, defaultText = DEFAULT_NAMESPACE): Binding[] {
  if (text === '' || text === 'none') return []
  if (text !== undefined && !text.startsWith('+')) return parseElements(text, false)
  const added = text?.slice(1) ?? ''
  const own = defaultText === '' || defaultText === 'none' ? [] : parseElements(defaultText, true)
  return [...own, ...(added === '' ? [] : parseElements(added, false))]
}

function parseElements(text: string, isDefault: boolean): Binding[] {
  return text.split(':').map(element => parseElement(element, isDefault))
}

function parseElement(element: string, isDefault: boolean): Binding {
  if (element === '') throw namespaceError('empty element', 'write -namespace DIR:REMOTE=LOCAL')
  const equals = element.indexOf('=')
  const remote = equals < 0 ? element : element.slice(0, equals)
  const local = equals < 0 ? element : element.slice(equals + 1)
  for (const side of [remote, local])
    if (!side.startsWith('/')) throw namespaceError(`${JSON.stringify(element)}: not an absolute path`)
  const remotePath = normalPath(remote)
  if (isWithin(MOUNT_ROOT, remotePath) || isWithin(remotePath, MOUNT_ROOT))
    throw namespaceError(
      `${JSON.stringify(element)}: a bind on ${remotePath} hides the mount it comes from`,
      `the files are below ${MOUNT_ROOT} without it`,
    )
  return { remotePath, localPath: normalPath(local), isDefault }
}

function normalPath(text: string): string {
  return path.posix.resolve(text)
}

/** `-namespace` cannot be used as given. */
export function namespaceError(fact: string, remedy?: string): UsageError {
  return new UsageError(`invalid -namespace: ${fact}`, remedy)
}
