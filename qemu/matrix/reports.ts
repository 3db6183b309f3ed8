// The files that `-junit` and `-json` name. They never tell of an earlier run: what is written first says that this one
// has not ended.

import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describeError } from '../../src/cli/main.js'
import { say } from '../commands/output.js'
import { jsonReport } from './json-report.js'
import { junitReport } from './junit.js'
import type { MachineResult } from './matrix-result.js'

export class Reports {
  readonly #name: string
  readonly #junit: string | undefined
  readonly #json: string | undefined

  /** Paths as seen from this process's directory of now. */
  constructor(
    matrixFile: string,
    { junit, json }: { junit?: string | undefined; json?: string | undefined },
  ) {
    this.#name = matrixFile
    this.#junit = junit && resolve(junit)
    this.#json = json && resolve(json)
  }

  /** Says so where that fails, and returns false. */
  write(machines: readonly MachineResult[], durationMs: number, exitCode: number): boolean {
    const junit = () => junitReport(this.#name, machines, durationMs)
    const json = () => jsonReport(this.#name, machines, durationMs, exitCode)
    return [writeReport(this.#junit, junit, '-junit'), writeReport(this.#json, json, '-json')].every(Boolean)
  }
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
