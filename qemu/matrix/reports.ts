// The files that `-junit` and `-json` name. They never tell of an earlier run: its files are removed before the matrix is
// read, and what is written first says that this run has not ended.

import { rmSync, statSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describeError } from '../../src/cli/main.js'
import { say } from '../commands/output.js'
import { jsonReport } from './json-report.js'
import { junitReport } from './junit.js'
import type { MachineResult } from './matrix-result.js'

export class Reports {
  readonly #junit: string | undefined
  readonly #json: string | undefined

  /** Paths as seen from this process's directory of now. */
  constructor({ junit, json }: { junit?: string | undefined; json?: string | undefined }) {
    this.#junit = junit && resolve(junit)
    this.#json = json && resolve(json)
    for (const file of [this.#junit, this.#json]) if (file !== undefined && isFile(file)) rmSync(file)
  }

  /** Says so where that fails, and returns false. `matrix` is its file. */
  write(matrix: string, machines: readonly MachineResult[], durationMs: number, exitCode: number): boolean {
    const junit = () => junitReport(matrix, machines, durationMs)
    const json = () => jsonReport(matrix, machines, durationMs, exitCode)
    return [writeReport(this.#junit, junit, '-junit'), writeReport(this.#json, json, '-json')].every(Boolean)
  }
}

/** As opposed to a pipe or a device. */
function isFile(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false })?.isFile() === true
}

function writeReport(file: string | undefined, text: () => string, flag: string): boolean {
  if (file === undefined) return true
  try {
    writeFileSync(file, text())
    return true
  } catch (error) {
    say(`cannot write ${file} (${flag}): ${describeError(error)}`)
    return false
  }
}
