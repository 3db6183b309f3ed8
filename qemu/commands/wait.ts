// cpu-vm wait: until a machine is ready, or until it has ended.

import { setTimeout as sleep } from 'node:timers/promises'
import { CpuError } from '../../src/errors.js'
import { WAIT_FLAGS } from '../flags.js'
import { findMachine, isRunning, type MachineState, readState } from '../machine-directory.js'
import { isAlive } from '../process-identity.js'
import { command, machineOperand } from './command.js'

const POLL_MS = 50

export const wait = command('wait', WAIT_FLAGS, async (flags, signal) => {
  const { ended, timeout } = flags.values
  const name = machineOperand(flags)
  const { directory } = findMachine(name)
  const end = performance.now() + (timeout ?? Number.POSITIVE_INFINITY)
  for (;;) {
    const state = readState(directory)
    if (hasEnded(state)) {
      if (ended) return 0
      throw new CpuError('ERR_CPU_VM_NOT_RUNNING', `${name} has ended`)
    }
    if (!ended && state?.ready) return 0
    if (performance.now() >= end) {
      const what = ended ? 'has not ended' : 'is not ready'
      throw new CpuError('ERR_CPU_VM_WAIT', `${name} ${what} after ${(timeout ?? 0) / 1000} s`, {
        remedy: 'give it more with -timeout',
      })
    }
    await sleep(POLL_MS, undefined, { signal })
  }
})

/** A boot may be tried again, by who started it, when its QEMU has ended. */
function hasEnded(state: MachineState | undefined): boolean {
  return state === undefined || (!isRunning(state) && (state.ready || !isAlive(state.launcher)))
}
