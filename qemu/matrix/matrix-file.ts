// The file of `cpu-vm test`: kernels, configurations and tests. docs/ci.md describes it; plan.ts makes machines of it.
// What is not understood is refused, since a test that is not run looks like one that passes.

import { type FlagTable, parseFlagValue } from '../../src/cli/flags.js'
import { nearestName } from '../../src/nearest-name.js'
import { DEBIAN_FLAVOURS, type DebianFlavour } from '../debian-kernel.js'
import { takeFlags } from '../file-values.js'
import { readTomlFile, type TomlTable } from '../toml-file.js'
import { EXPECTED_ENDS, type Expectation, endsMachine } from './expectation.js'

/** Values of flags of `cpu-vm run`, by name. */
export type FlagLayer = Readonly<Record<string, unknown>>

export interface MatrixKernel {
  /** Undefined where the file names no kernels. */
  readonly name: string | undefined
  readonly flags: FlagLayer
  /** Fetched, unless it is in the cache. */
  readonly debian: DebianFlavour | undefined
}

export interface MatrixConfiguration {
  /** Undefined where the file names no configurations. */
  readonly name: string | undefined
  readonly flags: FlagLayer
}

export interface MatrixTest {
  readonly name: string
  readonly command: readonly string[]
  /** Whether it has a machine of its own, which is booted for it. */
  readonly fresh: boolean
  readonly expected: Expectation
  /** Flags of the command, not of its machine. */
  readonly flags: FlagLayer
  /** Names; undefined for all. */
  readonly kernels: readonly string[] | undefined
  readonly configurations: readonly string[] | undefined
}

export interface MatrixFile {
  readonly file: string
  /** For all of it. */
  readonly timeoutMs: number | undefined
  /** For all machines. */
  readonly flags: FlagLayer
  readonly kernels: readonly MatrixKernel[]
  readonly configurations: readonly MatrixConfiguration[]
  readonly tests: readonly MatrixTest[]
}

export interface MatrixFlags {
  readonly machine: FlagTable
  /** Those of them that are a command's. */
  readonly command: FlagTable
}

/** Also parts of file names, and of what `-only` selects by. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._+-]*$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
const TEST_NAME = /^[^\x00-\x1f\x7f/]{1,100}$/

/** Throws UsageError, with the line of what is wrong. */
export function readMatrixFile(file: string, flags: MatrixFlags): MatrixFile {
  return readMatrix(readTomlFile(file), flags)
}

export function readMatrix(root: TomlTable, flags: MatrixFlags): MatrixFile {
  const machine = root.table('machine')
  const kernels = readKernels(root.table('kernels'), flags)
  const configurations = readConfigurations(root.table('configurations'), flags)
  const fresh = root.boolean('fresh') ?? false
  const tests = root.tables('test').map(table => readTest(table, fresh, flags))
  const matrix = {
    file: root.file,
    timeoutMs: duration(root, 'timeout'),
    flags: machine === undefined ? {} : layer(machine, flags.machine),
    kernels,
    configurations,
    tests,
  }
  machine?.close()
  root.close()
  if (tests.length === 0) throw root.error(undefined, 'there are no tests', 'write at least one [[test]]')
  root.tables('test').forEach((table, index) => {
    checkTest(table, tests[index]!, matrix)
  })
  return matrix
}

function readKernels(table: TomlTable | undefined, { machine }: MatrixFlags): MatrixKernel[] {
  if (table === undefined) return [{ name: undefined, flags: {}, debian: undefined }]
  return named(table, 'kernel', 'write NAME = { debian = "amd64" } or NAME = { kernel = "bzImage" }').map(
    ([name, kernel]) => {
      const debian = kernel.string('debian')
      const known = DEBIAN_FLAVOURS.find(flavour => flavour === debian)
      if (debian !== undefined && known === undefined)
        throw kernel.error(
          'debian',
          `unknown kernel of Debian's ${JSON.stringify(debian)}`,
          oneOf(debian, DEBIAN_FLAVOURS),
        )
      const flags = layer(kernel, machine)
      if (known !== undefined && 'kernel' in flags)
        throw kernel.error('kernel', `kernel ${name} is both Debian's and a file`, 'leave one of them out')
      kernel.close()
      return { name, flags, debian: known }
    },
  )
}

function readConfigurations(table: TomlTable | undefined, { machine }: MatrixFlags): MatrixConfiguration[] {
  if (table === undefined) return [{ name: undefined, flags: {} }]
  return named(table, 'configuration', 'write NAME = { memory = 512 }').map(([name, configuration]) => {
    const flags = layer(configuration, machine)
    configuration.close()
    return { name, flags }
  })
}

/** The tables in a table, each of which has a name. */
function named(table: TomlTable, what: string, remedy: string): [string, TomlTable][] {
  if (table.keys.length === 0) throw table.error(undefined, `there is no ${what}`, remedy)
  return table.keys.map(name => {
    if (!NAME.test(name))
      throw table.error(
        name,
        `invalid name of a ${what}: ${JSON.stringify(name)}`,
        'use letters, digits and . _ + -',
      )
    return [name, table.table(name, remedy)!]
  })
}

function readTest(table: TomlTable, fresh: boolean, flags: MatrixFlags): MatrixTest {
  const name = table.string('name')
  if (name === undefined) throw table.error(undefined, 'a test without a name', 'write name = "..."')
  if (!TEST_NAME.test(name))
    throw table.error(
      'name',
      `invalid name of a test: ${JSON.stringify(name)}`,
      'up to 100 characters, none of them a slash or a control character',
    )
  const expected = readExpectation(table)
  const test = {
    name,
    command: readCommand(table),
    fresh: (table.boolean('fresh') ?? fresh) || endsMachine(expected.end),
    expected,
    flags: {
      ...layer(table, flags.command),
      // What is expected must count as more than a word of the kernel's.
      ...(expected.end === 'oops' ? { 'fail-on-oops': true } : {}),
      ...(expected.end === 'kernel-warning' ? { 'fail-on-warning': true } : {}),
    },
    kernels: table.strings('kernels'),
    configurations: table.strings('configurations'),
  }
  table.close()
  return test
}

/** What of a test's name a file's may be. */
export function fileName(testName: string): string {
  return testName.replace(/^\.|[^\p{L}\p{N}._+-]/gu, '_')
}

/** Words, or a line for sh. */
function readCommand(table: TomlTable): string[] {
  const value = table.take('command')
  if (typeof value === 'string' && value.trim() !== '') return ['sh', '-c', value]
  const words = Array.isArray(value) ? table.strings('command')! : []
  if (words.length > 0 && words[0] !== '') return [...words]
  const fact =
    value === undefined
      ? 'a test without a command'
      : 'the command of a test is neither text nor a list of words'
  throw table.error(
    value === undefined ? undefined : 'command',
    fact,
    'write command = "make check" or command = ["make", "check"]',
  )
}

function readExpectation(table: TomlTable): Expectation {
  const expect = table.string('expect')
  const end = EXPECTED_ENDS.find(known => known === expect)
  if (expect !== undefined && end === undefined)
    throw table.error('expect', `no test can expect ${JSON.stringify(expect)}`, oneOf(expect, EXPECTED_ENDS))
  const exitCode = table.integer('exit-code')
  if (end !== undefined && exitCode !== undefined)
    throw table.error('exit-code', `a test that expects ${end} has no exit code`, 'leave one of them out')
  if (exitCode !== undefined && (exitCode < 0 || exitCode > 255))
    throw table.error('exit-code', `no exit code: ${exitCode}`, 'write one of 0 to 255')
  return {
    end: end ?? 'exit',
    exitCode: exitCode ?? 0,
    stdout: pattern(table, 'stdout'),
    stderr: pattern(table, 'stderr'),
    kernelLog: pattern(table, 'kernel-log'),
  }
}

/** `^` and `$` are those of a line. */
function pattern(table: TomlTable, key: string): RegExp | undefined {
  const text = table.string(key)
  if (text === undefined) return undefined
  if (text === '') throw table.error(key, `an empty ${key} matches everything`, 'leave it out')
  try {
    return new RegExp(text, 'm')
  } catch (error) {
    throw table.error(key, (error as Error).message)
  }
}

/** What can be seen only when all of the file is read. */
function checkTest(table: TomlTable, test: MatrixTest, matrix: MatrixFile): void {
  const namesake = matrix.tests.find(({ name }) => fileName(name) === fileName(test.name))!
  if (namesake !== test) {
    const names = [namesake.name, test.name].map(name => JSON.stringify(name))
    const fact = `the name ${names[1]} is too much like ${names[0]}, which another test has`
    throw table.error('name', fact, 'give each test a name of its own, which is also that of its files')
  }
  checkNames(table, 'kernels', test.kernels, matrix.kernels)
  checkNames(table, 'configurations', test.configurations, matrix.configurations)
}

function checkNames(
  table: TomlTable,
  key: 'kernels' | 'configurations',
  wanted: readonly string[] | undefined,
  entries: readonly { readonly name: string | undefined }[],
): void {
  const known = entries.flatMap(({ name }) => name ?? [])
  if (wanted?.length === 0) throw table.error(key, `a test for no ${key}`, `leave ${key} out for all of them`)
  const unknown = wanted?.find(name => !known.includes(name))
  if (unknown !== undefined)
    throw table.error(key, `${JSON.stringify(unknown)} is none of the ${key}`, oneOf(unknown, known))
}

function oneOf(word: string, known: readonly string[]): string {
  const nearest = nearestName(word, known)
  if (nearest !== undefined) return `did you mean ${nearest}?`
  return known.length === 0 ? 'the file names none' : `one of ${known.join(', ')}`
}

function layer(table: TomlTable, flags: FlagTable): FlagLayer {
  return Object.fromEntries([...takeFlags(table, flags)].map(([name, { value }]) => [name, value]))
}

function duration(table: TomlTable, key: string): number | undefined {
  const text = table.string(key, 'write it as "10m"')
  const flag = { kind: 'duration', min: 1, help: '' } as const
  return text === undefined ? undefined : table.locate(key, () => parseFlagValue(key, flag, text) as number)
}
