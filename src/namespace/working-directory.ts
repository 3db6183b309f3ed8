// Where a session's program starts: the directory in which the command was typed, wherever that is.

import { MOUNT_ROOT } from './plan.js'

/** What belongs to the machine the program runs on: never covered by the user's files. */
const MACHINE_DIRECTORIES: readonly string[] = ['/proc', '/sys', '/dev', MOUNT_ROOT, '/tmp/local']

/** Whether one absolute path is the other or lies below it. */
export function isWithin(path: string, directory: string): boolean {
  return directory === '/' || path === directory || path.startsWith(`${directory}/`)
}

/**
 * Whether a bind of the directory onto itself makes it reachable. Not `/`, which cannot be covered, nor `/tmp`,
 * which has the mounts themselves below it, nor what belongs to the machine.
 */
export function isBindable(directory: string): boolean {
  return (
    directory !== '/' && directory !== '/tmp' && !MACHINE_DIRECTORIES.some(own => isWithin(directory, own))
  )
}

/**
 * Directories to start in, the first that exists. Where the user's files are mounted but no bind can (`/`, `/tmp`)
 * or does (no namespace) put the directory in its place, it is found below the mount; and so is one of, say,
 * /dev/shm that the machine does not have.
 */
export function workingDirectoryCandidates(directory: string, hasFiles: boolean): string[] {
  if (!hasFiles || [MOUNT_ROOT, '/tmp/local'].some(own => isWithin(directory, own))) return [directory]
  if (directory === '/') return [MOUNT_ROOT]
  if (directory === '/tmp') return [MOUNT_ROOT + directory]
  return [directory, MOUNT_ROOT + directory]
}
