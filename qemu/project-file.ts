// cpu-vm.toml: what a project wants of its machines. The nearest one counts, from the current directory upward to the
// root of the repository or of the file system. Its keys are flags of `start`, `run` and `exec`; what is not given by a
// flag, or by the environment variable that means the same, is taken from there.

import { existsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { FlagTable, FlagValues, ParsedFlags } from '../src/cli/flags.js'
import { UsageError } from '../src/errors.js'
import { type FileValue, takeFlags } from './file-values.js'
import { readTomlFile } from './toml-file.js'

export const PROJECT_FILE = 'cpu-vm.toml'

export interface Project {
  readonly file: string
  readonly values: ReadonlyMap<string, FileValue>
}

/** Where a value is from. */
export type Origin =
  | { readonly kind: 'default' | 'flag' }
  /** The variable is read where it is needed: the value is its text. */
  | { readonly kind: 'environment'; readonly variable: string }
  /** `FILE:LINE` */
  | { readonly kind: 'file'; readonly place: string }

export interface Setting {
  readonly value: unknown
  readonly origin: Origin
}

/** `flags` are all that may be in it. Undefined where there is none. Throws UsageError for one with mistakes. */
export function findProject(flags: FlagTable, from: string = process.cwd()): Project | undefined {
  const file = findProjectFile(from)
  if (file === undefined) return undefined
  checkOwner(file)
  const table = readTomlFile(file)
  const values = takeFlags(table, flags)
  table.close()
  return { file, values }
}

function findProjectFile(directory: string): string | undefined {
  const file = join(directory, PROJECT_FILE)
  if (existsSync(file)) return file
  const isTop = existsSync(join(directory, '.git')) || dirname(directory) === directory
  return isTop ? undefined : findProjectFile(dirname(directory))
}

/** It can name arguments of QEMU: it must not be another's who put it in the way, as in /tmp. */
function checkOwner(file: string): void {
  const { mode, uid } = statSync(file)
  const isOpen = (mode & 0o002) !== 0
  const isForeign = uid !== 0 && uid !== process.geteuid?.()
  const isInOpenDirectory = (statSync(dirname(file)).mode & 0o002) !== 0
  if (!isOpen && !(isForeign && isInOpenDirectory)) return
  throw new UsageError(
    `${file} can be changed by others, or is theirs`,
    'remove it, or chown it to yourself and chmod o-w',
  )
}

/** Each flag of a command with its value and where that is from. */
export function resolveSettings<T extends FlagTable>(
  table: T,
  { values, given }: Pick<ParsedFlags<T>, 'values' | 'given'>,
  project: Project | undefined,
  environment: NodeJS.ProcessEnv = process.env,
): Map<string, Setting> {
  const settings = Object.entries(table).map(([name, { variable }]): [string, Setting] => {
    const value = values[name]
    if (given.has(name)) return [name, { value, origin: { kind: 'flag' } }]
    const text = variable === undefined ? undefined : environment[variable]
    if (variable !== undefined && text)
      return [name, { value: text, origin: { kind: 'environment', variable } }]
    const found = project?.values.get(name)
    if (found === undefined) return [name, { value, origin: { kind: 'default' } }]
    return [name, { value: found.value, origin: { kind: 'file', place: found.place() } }]
  })
  return new Map(settings)
}

/** The flags with what the project says of those that are not given. */
export function withProject<T extends FlagTable, F extends ParsedFlags<T>>(
  table: T,
  flags: F,
  project: Project | undefined,
): F {
  const settings = [...resolveSettings(table, flags, project)]
  const fromFile = settings.flatMap(([name, { value, origin }]) =>
    origin.kind === 'file' ? [[name, value] as const] : [],
  )
  const values = { ...flags.values, ...Object.fromEntries(fromFile) } as FlagValues<T>
  return { ...flags, values }
}
