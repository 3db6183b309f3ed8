// cpu-vm log: what a machine's console has said.

import { LOG_FLAGS } from '../flags.js'
import { followFile } from '../follow-file.js'
import { findMachine, machineFiles, stillRuns } from '../machine-directory.js'
import { command, machineOperand } from './command.js'

export const log = command('log', LOG_FLAGS, async (flags, signal) => {
  const { directory } = findMachine(machineOperand(flags))
  const isOver = () => !flags.values.f || !stillRuns(directory)
  for await (const bytes of followFile(machineFiles(directory).console, isOver, signal))
    process.stdout.write(bytes)
  return 0
})
