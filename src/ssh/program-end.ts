// How a program ended. Apart from how that is told, since it is among the types of the API, which has no ssh2 in it.
import { constants } from 'node:os'
import { signalExitCode } from '../cli/exit-codes.js'

export interface ProgramEnd {
  /** As a shell has it: 128+n for signal n. */
  readonly exitCode: number
  /** What ended it, where that was a signal. */
  readonly signal?: NodeJS.Signals
}

export function endedBy(signal: NodeJS.Signals): ProgramEnd {
  return { exitCode: signalExitCode(constants.signals[signal]), signal }
}
