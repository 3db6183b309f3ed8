// Command-line flags as Go's flag package has them, from one table per command: `-x`, `--x`, `-x=v`, `-x v`,
// booleans `-x` and `-x=false`; parsing stops at the first operand or at `--`. Help, man page and completion
// are made from the same table.

import { UsageError } from '../errors.js'
import { nearestName } from '../nearest-name.js'
import { formatDuration, parseDuration } from './duration.js'

interface FlagText {
  /** One sentence without a full stop. */
  readonly help: string
  /** What stands for the value in help, such as `PORT`. */
  readonly placeholder?: string
  /** Understood, but not shown in help. */
  readonly hidden?: boolean
  /** For one command line: no file of defaults has it. */
  readonly commandLineOnly?: boolean
  /** An environment variable that says the same: it yields to the flag, and files of defaults yield to it. */
  readonly variable?: string
  /** A value with its path made absolute, as it is meant in a file of defaults in `directory`. */
  readonly located?: (text: string, directory: string) => string
}

export interface StringFlag extends FlagText {
  readonly kind: 'string'
  readonly default?: string
  readonly choices?: readonly string[]
}

/** False unless `default` says otherwise. */
export interface BooleanFlag extends FlagText {
  readonly kind: 'boolean'
  readonly default?: boolean
}

/** A whole number: decimal, or with 0x, 0o, 0b or 0 (octal) in front. */
export interface IntegerFlag extends FlagText {
  readonly kind: 'integer'
  readonly default?: number
  readonly min?: number
  readonly max?: number
}

/** Written in Go's syntax (`1m30s`); default, limits and value in milliseconds; not negative unless `min` is. */
export interface DurationFlag extends FlagText {
  readonly kind: 'duration'
  readonly default?: number
  readonly min?: number
  readonly max?: number
}

/** May be given several times; the values in order. */
export interface ListFlag extends FlagText {
  readonly kind: 'list'
  readonly choices?: readonly string[]
}

export type Flag = StringFlag | BooleanFlag | IntegerFlag | DurationFlag | ListFlag

/** Flags by name, in the order in which help shows them. */
export type FlagTable = Readonly<Record<string, Flag>>

type Word<F extends Flag> = F extends { choices: readonly (infer Choice extends string)[] } ? Choice : string

type Scalar<F extends Flag> = F extends StringFlag ? Word<F> : number

/** Type of one flag's value: undefined is possible only where the table has no default. */
export type FlagValue<F extends Flag> = F extends ListFlag
  ? readonly Word<F>[]
  : F extends BooleanFlag
    ? boolean
    : F extends { default: string | number }
      ? Scalar<F>
      : Scalar<F> | undefined

export type FlagValues<T extends FlagTable> = { readonly [Name in keyof T]: FlagValue<T[Name]> }

export interface ParsedFlags<T extends FlagTable> {
  readonly values: FlagValues<T>
  /** The flags that the command line names, as opposed to those that have their default. */
  readonly given: ReadonlySet<keyof T>
  readonly operands: string[]
  /** Index in `argv` of the first operand (`argv.length` if there is none), to find its raw bytes elsewhere. */
  readonly operandIndex: number
}

/** Keeps the table's literal types, on which the types of the values depend. */
export function defineFlags<const T extends FlagTable>(table: T): T {
  return table
}

/** Reads flags up to the first operand. A flag given twice has its last value, a list has all. Throws UsageError. */
export function parseFlags<T extends FlagTable>(table: T, argv: readonly string[]): ParsedFlags<T> {
  const values: Record<string, unknown> = Object.create(null)
  for (const [name, flag] of Object.entries(table)) values[name] = initialValue(flag)
  const given = new Set<string>()
  let index = 0
  while (index < argv.length) {
    const argument = argv[index]!
    if (argument === '-' || !argument.startsWith('-')) break
    index++
    if (argument === '--') break
    const { name, inline } = splitFlag(argument)
    const flag = lookUp(table, name)
    given.add(name)
    if (flag.kind === 'boolean') {
      values[name] = parseFlagValue(name, flag, inline ?? 'true')
      continue
    }
    const text = inline ?? argv[index++]
    if (text === undefined) throw missingValue(name, flag)
    const value = parseFlagValue(name, flag, text)
    if (flag.kind === 'list') (values[name] as unknown[]).push(value)
    else values[name] = value
  }
  return { values: values as FlagValues<T>, given, operands: argv.slice(index), operandIndex: index }
}

function initialValue(flag: Flag): unknown {
  if (flag.kind === 'list') return []
  return flag.kind === 'boolean' ? (flag.default ?? false) : flag.default
}

function splitFlag(argument: string): { name: string; inline: string | undefined } {
  const match = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(argument)
  if (match === null)
    throw new UsageError(`malformed flag ${quote(argument)}`, 'write -name, -name=value or -name value')
  return { name: match[1]!, inline: match[2] }
}

function lookUp(table: FlagTable, name: string): Flag {
  if (Object.hasOwn(table, name)) return table[name]!
  const shown = Object.keys(table).filter(candidate => table[candidate]!.hidden !== true)
  const nearest = nearestName(name, shown)
  throw new UsageError(
    `unknown flag -${name}`,
    nearest === undefined ? '-help lists all' : `did you mean -${nearest}?`,
  )
}

/** A value as a command line has it, of a list one item. Throws UsageError. */
export function parseFlagValue(name: string, flag: Flag, text: string): string | number | boolean {
  switch (flag.kind) {
    case 'boolean':
      return parseBoolean(name, text)
    case 'string':
    case 'list':
      return chosen(name, flag, text)
    case 'integer': {
      const value = parseInteger(text)
      if (value === undefined) throw invalidValue(name, text, 'not a whole number')
      return inRange(name, flag, text, value)
    }
    case 'duration': {
      const value = parseDuration(text)
      if (value === undefined)
        throw invalidValue(name, text, 'not a duration', 'write it as 10s, 250ms or 1m30s')
      return inRange(name, flag, text, value)
    }
  }
}

function parseBoolean(name: string, text: string): boolean {
  if (/^(1|t|T|true|TRUE|True)$/.test(text)) return true
  if (/^(0|f|F|false|FALSE|False)$/.test(text)) return false
  throw invalidValue(name, text, 'neither true nor false')
}

/** A number in Go's base 0: decimal, 0x, 0o, 0b, or octal with a leading 0. */
export function parseInteger(text: string): number | undefined {
  const match = /^([+-]?)(0[xX][\da-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|0|[1-9]\d*)$/.exec(text)
  if (match === null) return undefined
  const magnitude = Number(match[2]!.replace(/^0(?=\d)/, '0o'))
  if (!Number.isSafeInteger(magnitude)) return undefined
  return match[1] === '-' ? 0 - magnitude : magnitude
}

function chosen(name: string, flag: StringFlag | ListFlag, text: string): string {
  if (flag.choices === undefined || flag.choices.includes(text)) return text
  throw invalidValue(name, text, `not one of ${flag.choices.join(', ')}`)
}

function inRange(name: string, flag: IntegerFlag | DurationFlag, text: string, value: number): number {
  const show = flag.kind === 'duration' ? formatDuration : String
  const min = flag.min ?? (flag.kind === 'duration' ? 0 : Number.NEGATIVE_INFINITY)
  const max = flag.max ?? Number.POSITIVE_INFINITY
  if (value >= min && value <= max) return value
  if (max === Number.POSITIVE_INFINITY) throw invalidValue(name, text, `less than ${show(min)}`)
  if (min === Number.NEGATIVE_INFINITY) throw invalidValue(name, text, `more than ${show(max)}`)
  throw invalidValue(name, text, `not between ${show(min)} and ${show(max)}`)
}

function missingValue(name: string, flag: Flag): UsageError {
  return new UsageError(`flag -${name} needs a value`, `write -${name} ${flag.placeholder ?? 'VALUE'}`)
}

function invalidValue(name: string, text: string, reason: string, remedy?: string): UsageError {
  return new UsageError(`invalid value ${quote(text)} for flag -${name}: ${reason}`, remedy)
}

/** Quoted so that line feeds and control characters cannot break the one-line message. */
function quote(text: string): string {
  return JSON.stringify(text)
}
