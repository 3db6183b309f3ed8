import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Replaced by the bundler, since a bundle has no package.json beside it. */
declare const CPU_HARNESS_VERSION: string | undefined

/** The version in package.json. */
export function version(): string {
  if (typeof CPU_HARNESS_VERSION === 'string') return CPU_HARNESS_VERSION
  const file = join(packageRoot(), 'package.json')
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}

/** The directory of package.json; this module is two levels below it when compiled. */
export function packageRoot(): string {
  return join(dirname(fileURLToPath(import.meta.url)), '../..')
}

/** Where another module of this program is: compiled beside the caller, which is `from`, or a bundle beside its bundle. */
export function moduleUrl(from: string, name: string): URL {
  return new URL(`${name}.${typeof CPU_HARNESS_VERSION === 'string' ? 'cjs' : 'js'}`, from)
}
