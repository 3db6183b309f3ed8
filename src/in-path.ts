// Programs of this machine, as a shell finds them.
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Whether a folder of $PATH has a program of that name that may be executed. */
export function isInPath(command: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some(folder => {
    try {
      accessSync(join(folder, command), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
