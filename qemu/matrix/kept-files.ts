// What `-output DIR` keeps: of each machine, in a directory named for it, its console and QEMU's log; of each test what
// its command said.

import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describeError } from '../../src/cli/main.js'
import { UsageError } from '../../src/errors.js'
import { machineFiles } from '../machine-directory.js'
import { fileName } from './matrix-file.js'
import type { PlannedMachine, PlannedTest } from './plan.js'

export class KeptFiles {
  readonly #directory: string | undefined

  /** Without a directory nothing is kept. */
  constructor(directory: string | undefined) {
    this.#directory = directory
  }

  /** Makes the directories, without what an earlier run has left of the same. Throws UsageError where that is impossible. */
  prepare(machines: readonly PlannedMachine[]): void {
    if (this.#directory === undefined) return
    try {
      for (const machine of machines) {
        mkdirSync(this.#machine(machine)!, { recursive: true })
        const files = machine.tests.flatMap(test => Object.values(this.output(machine, test)))
        for (const file of [...this.#logs(machine), ...files]) rmSync(file!, { force: true })
      }
    } catch (error) {
      throw new UsageError(`cannot write to ${this.#directory} (-output): ${describeError(error)}`)
    }
  }

  /** Where a test's stdout and stderr go. */
  output(
    machine: PlannedMachine,
    { test }: PlannedTest,
  ): { stdout: string | undefined; stderr: string | undefined } {
    const directory = this.#machine(machine)
    const file = (suffix: string) => directory && join(directory, `${fileName(test.name)}.${suffix}`)
    return { stdout: file('stdout'), stderr: file('stderr') }
  }

  /** Takes what there is in a machine's own directory. */
  keep(machine: PlannedMachine, machineDirectory: string): void {
    for (const file of this.#logs(machine)) {
      const source = join(machineDirectory, basename(file))
      if (existsSync(source)) copyFileSync(source, file)
    }
  }

  #machine({ id }: PlannedMachine): string | undefined {
    return this.#directory && join(this.#directory, ...id.split('/').map(fileName))
  }

  #logs(machine: PlannedMachine): string[] {
    const directory = this.#machine(machine)
    if (directory === undefined) return []
    const { console, qemuLog } = machineFiles(directory)
    return [console, qemuLog]
  }
}
