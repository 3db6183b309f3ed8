// The directory in which the launcher keeps what it knows of its machines, and in which the client looks for
// a machine by name: $XDG_RUNTIME_DIR/cpu-harness, or /tmp/cpu-harness-UID. Each machine has a directory of
// its own in it, named for the machine.

import { lstatSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { CpuError } from './errors.js'

/** Where the directory is, whether it exists or not. */
export function runtimeDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  const base = environment['XDG_RUNTIME_DIR']
  if (base?.startsWith('/')) return join(base, 'cpu-harness')
  return `/tmp/cpu-harness-${process.geteuid!()}`
}

/**
 * Makes the directory (mode 0700) unless it exists, and returns its path.
 * Throws CpuError ERR_CPU_RUNTIME_DIRECTORY when what exists there is not a directory of this user's alone.
 */
export function openRuntimeDirectory(directory: string = runtimeDirectory()): string {
  try {
    mkdirSync(directory, { mode: 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw new CpuError('ERR_CPU_RUNTIME_DIRECTORY', `cannot create ${directory}`, {
        cause: error,
        remedy: 'set XDG_RUNTIME_DIR to a directory that you may write to',
      })
    }
  }
  checkRuntimeDirectory(directory)
  return directory
}

/** Paths of the machines' directories; none when there is no runtime directory. Throws as openRuntimeDirectory. */
export function machineDirectories(directory: string = runtimeDirectory()): string[] {
  let names: string[]
  try {
    names = readdirSync(directory)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
  checkRuntimeDirectory(directory)
  return names
    .filter(name => !name.startsWith('.'))
    .sort()
    .map(name => join(directory, name))
}

/** In /tmp anyone could have made it first: keys and sockets go only where nobody else can reach. */
function checkRuntimeDirectory(directory: string): void {
  const uid = process.geteuid!()
  const status = lstatSync(directory)
  const reason = status.isSymbolicLink()
    ? 'is a symbolic link'
    : !status.isDirectory()
      ? 'is not a directory'
      : status.uid !== uid
        ? `belongs to uid ${status.uid}`
        : (status.mode & 0o077) !== 0
          ? 'is open to others'
          : undefined
  if (reason === undefined) return
  throw new CpuError('ERR_CPU_RUNTIME_DIRECTORY', `${directory} ${reason}`, {
    remedy: `remove it, or set XDG_RUNTIME_DIR to a directory of your own with mode 0700`,
  })
}
