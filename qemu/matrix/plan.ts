// Which machines a matrix needs, and which tests each of them runs: one machine for each kernel in each configuration,
// in which its tests run one after the other, and one more for each test that wants its own.

import { UsageError } from '../../src/errors.js'
import { nearestName } from '../../src/nearest-name.js'
import { patternExpression } from '../../src/ssh/patterns.js'
import type { FlagLayer, MatrixConfiguration, MatrixFile, MatrixKernel, MatrixTest } from './matrix-file.js'

export interface PlannedTest {
  /** `KERNEL/CONFIGURATION/TEST`, without what the file does not name. */
  readonly id: string
  readonly test: MatrixTest
}

export interface PlannedMachine {
  /** `KERNEL/CONFIGURATION`, and for a machine of a test's own its id. */
  readonly id: string
  readonly kernel: MatrixKernel
  /** Of the machine: what the file says of all, of the kernel and of the configuration. */
  readonly flags: FlagLayer
  readonly tests: readonly PlannedTest[]
}

/** Where the file names neither kernels nor configurations. */
const ONLY_MACHINE = 'machine'

/** In the file's order. Throws UsageError for a kernel or a configuration without a test, and for a pattern without one. */
export function planMachines(matrix: MatrixFile, only: readonly string[]): PlannedMachine[] {
  const machines = matrix.kernels.flatMap(kernel =>
    matrix.configurations.flatMap(configuration => machinesOf(matrix, kernel, configuration)),
  )
  checkUse(matrix, machines)
  const tests = machines.flatMap(machine => machine.tests)
  for (const pattern of only) {
    if (tests.some(({ id }) => isSelected(id, pattern))) continue
    const nearest = nearestName(pattern, [
      ...tests.map(({ id }) => id),
      ...tests.flatMap(({ id }) => id.split('/')),
    ])
    const remedy = nearest === undefined ? 'cpu-vm test -list shows all' : `did you mean ${nearest}?`
    throw new UsageError(`no test of ${matrix.file} matches -only ${pattern}`, remedy)
  }
  if (only.length === 0) return machines
  return machines
    .map(machine => ({
      ...machine,
      tests: machine.tests.filter(({ id }) => only.some(pattern => isSelected(id, pattern))),
    }))
    .filter(machine => machine.tests.length > 0)
}

/** The more special wins; lists and words for the kernel add up. */
export function mergeFlags(...layers: readonly FlagLayer[]): FlagLayer {
  const merged: Record<string, unknown> = {}
  for (const layer of layers) {
    for (const [name, value] of Object.entries(layer)) {
      const before = merged[name]
      if (Array.isArray(before) && Array.isArray(value)) merged[name] = [...before, ...value]
      else if (name === 'append' && before !== undefined) merged[name] = `${before} ${value}`
      else merged[name] = value
    }
  }
  return merged
}

function machinesOf(
  matrix: MatrixFile,
  kernel: MatrixKernel,
  configuration: MatrixConfiguration,
): PlannedMachine[] {
  const parts = [kernel.name, configuration.name].filter(name => name !== undefined)
  const flags = mergeFlags(matrix.flags, kernel.flags, configuration.flags)
  const tests = matrix.tests
    .filter(test => test.kernels?.includes(kernel.name ?? '') ?? true)
    .filter(test => test.configurations?.includes(configuration.name ?? '') ?? true)
    .map(test => ({ id: [...parts, test.name].join('/'), test }))
  const shared = tests.filter(({ test }) => !test.fresh)
  const machine = { kernel, flags, id: parts.join('/') || ONLY_MACHINE }
  return [
    ...(shared.length === 0 ? [] : [{ ...machine, tests: shared }]),
    ...tests.filter(({ test }) => test.fresh).map(test => ({ ...machine, id: test.id, tests: [test] })),
  ]
}

/** A kernel that is not booted passes every test. */
function checkUse({ file, kernels, configurations }: MatrixFile, machines: readonly PlannedMachine[]): void {
  const used = machines.flatMap(({ tests }) => tests.map(({ id }) => id.split('/')))
  for (const { name } of kernels) {
    if (name !== undefined && !used.some(parts => parts[0] === name))
      throw new UsageError(`${file}: no test is for kernel ${name}`, 'leave it out, or write a test for it')
  }
  for (const { name } of configurations) {
    if (name !== undefined && !used.some(parts => parts.at(-2) === name))
      throw new UsageError(
        `${file}: no test is for configuration ${name}`,
        'leave it out, or write a test for it',
      )
  }
}

/** A pattern without a slash is for one part, whichever. */
function isSelected(id: string, pattern: string): boolean {
  const expression = patternExpression(pattern, 's')
  return pattern.includes('/') ? expression.test(id) : id.split('/').some(part => expression.test(part))
}
