// Files of the system that need not be there, such as those of procfs.
import { readFileSync } from 'node:fs'

/** Empty for what cannot be read. */
export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
