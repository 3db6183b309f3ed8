// Programs of this machine, as a shell finds them.
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** The first program of that name in the folders of $PATH that may be executed. */
export function findInPath(command: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  return folders.map(folder => join(folder, command)).find(isExecutable)
}

export function isInPath(command: string): boolean {
  return findInPath(command) !== undefined
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
