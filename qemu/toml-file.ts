// TOML files that users write (toml.io, 1.0.0): read so that nothing in them is passed over, and every complaint has
// its place. project-file.ts and matrix/matrix-file.ts say what may be in them.

import { readFileSync } from 'node:fs'
import { parse, TomlError } from 'smol-toml'
import { CpuError, UsageError } from '../src/errors.js'
import { nearestName } from '../src/nearest-name.js'

type Values = Readonly<Record<string, unknown>>
/** Keys and indices from the file's root. */
type Path = readonly (string | number)[]

/** Reads a file. Throws UsageError when it cannot be read or is no TOML. */
export function readTomlFile(file: string): TomlTable {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new UsageError(`cannot read ${file}: ${(error as Error).message}`)
  }
  return parseToml(text, file)
}

/** The same of a text; `file` is what complaints name. */
export function parseToml(text: string, file: string): TomlTable {
  try {
    return new TomlTable({ file, text }, [], parse(text))
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const [reason] = error.message.replace('Invalid TOML document: ', '').split('\n')
    throw new UsageError(`${file}:${error.line}: ${reason} (column ${error.column})`)
  }
}

/** One table of a file. Whoever reads it takes the keys that he knows, and has the others refused by `close`. */
export class TomlTable {
  readonly #source: { readonly file: string; readonly text: string }
  readonly #path: Path
  readonly #values: Values
  readonly #known = new Set<string>()

  constructor(source: { readonly file: string; readonly text: string }, path: Path, values: Values) {
    this.#source = source
    this.#path = path
    this.#values = values
  }

  get file(): string {
    return this.#source.file
  }

  get keys(): string[] {
    return Object.keys(this.#values)
  }

  has(key: string): boolean {
    return Object.hasOwn(this.#values, key)
  }

  /** As it is in the file; undefined where it is not. */
  take(key: string): unknown {
    this.#known.add(key)
    return this.has(key) ? this.#values[key] : undefined
  }

  string(key: string, remedy?: string): string | undefined {
    return this.#typed(key, 'a string', value => typeof value === 'string', remedy)
  }

  integer(key: string): number | undefined {
    return this.#typed(key, 'a whole number', value => Number.isSafeInteger(value))
  }

  boolean(key: string): boolean | undefined {
    return this.#typed(key, 'true or false', value => typeof value === 'boolean')
  }

  strings(key: string): readonly string[] | undefined {
    return this.#typed(key, 'a list of strings', isStrings)
  }

  /** Of `[key]`. */
  table(key: string, remedy?: string): TomlTable | undefined {
    const values = this.#typed<Values>(key, 'a table', isTable, remedy)
    return values && new TomlTable(this.#source, [...this.#path, key], values)
  }

  /** Of each `[[key]]`; none where there is none. */
  tables(key: string): TomlTable[] {
    const isTables = (value: unknown) => Array.isArray(value) && value.every(isTable)
    const list = this.#typed<readonly Values[]>(key, `a list of tables, each [[${key}]]`, isTables) ?? []
    return list.map((values, index) => new TomlTable(this.#source, [...this.#path, key, index], values))
  }

  /** Throws UsageError for a key that nobody has asked for. */
  close(): void {
    const unknown = this.keys.find(key => !this.#known.has(key))
    if (unknown === undefined) return
    const nearest = nearestName(unknown, this.#known)
    const remedy =
      nearest === undefined ? `known: ${[...this.#known].sort().join(', ')}` : `did you mean ${nearest}?`
    throw this.error(unknown, `unknown key ${JSON.stringify(unknown)}${this.#where()}`, remedy)
  }

  /** A complaint about a key, or about the table itself. */
  error(key: string | undefined, message: string, remedy?: string): UsageError {
    return new UsageError(`${this.place(key)}: ${message}`, remedy)
  }

  /** Runs what may complain, and has its complaint say where. */
  locate<T>(key: string | undefined, run: () => T): T {
    try {
      return run()
    } catch (error) {
      throw error instanceof CpuError ? this.error(key, error.message, error.remedy) : error
    }
  }

  /** `FILE:LINE` */
  place(key: string | undefined): string {
    const line = findLine(this.#source.text, key === undefined ? this.#path : [...this.#path, key])
    return `${this.#source.file}:${line}`
  }

  #typed<T>(key: string, what: string, isOne: (value: unknown) => boolean, remedy?: string): T | undefined {
    const value = this.take(key)
    if (value === undefined || isOne(value)) return value as T | undefined
    throw this.error(key, `${JSON.stringify(key)}${this.#where()} is not ${what}`, remedy)
  }

  #where(): string {
    const [first, second] = this.#path
    if (first === undefined) return ''
    if (typeof second === 'number') return ` in [[${first}]]`
    return ` in [${this.#path.join('.')}]`
  }
}

function isTable(value: unknown): value is Values {
  // Dates are objects, too, and tables have no prototype.
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === null
}

function isStrings(value: unknown): boolean {
  return Array.isArray(value) && value.every(item => typeof item === 'string')
}

/**
 * The line on which the statement begins that brings `path` into being: the one behind the longest beginning of the text
 * that is TOML and does not have it.
 */
function findLine(text: string, path: Path): number {
  if (path.length === 0) return 1
  const lines = text.split('\n')
  let before = 0
  for (let count = 1; count <= lines.length; count++) {
    const beginning = parseBeginning(lines.slice(0, count).join('\n'))
    if (beginning === undefined) continue
    if (hasPath(beginning, path)) break
    before = count
  }
  return before + 1
}

function parseBeginning(text: string): unknown {
  try {
    return parse(text)
  } catch {
    return undefined
  }
}

function hasPath(value: unknown, path: Path): boolean {
  const [first, ...rest] = path
  if (first === undefined) return true
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, first)) return false
  return hasPath((value as Values)[first], rest)
}
