// cpu-vm wait: until a machine is ready, or until it has ended.

import { setTimeout as sleep } from 'node:timers/promises'
import { CpuError } from '../../src/errors.js'
import { WAIT_FLAGS } from '../flags.js'
import { findMachine, machineStatus, readState } from '../machine-directory.js'
import { command, machineOperand } from './command.js'

const POLL_MS = 50

export const wait = command('wait', WAIT_FLAGS, async (flags, signal) => {
  const { ended, timeout } = flags.values
  const name = machineOperand(flags)
  const { directory } = findMachine(name)
  const end = performance.now() + (timeout ?? Number.POSITIVE_INFINITY)
  for (;;) {
    const state = readState(directory)
    const status = state === undefined ? 'ended' : machineStatus(state)
    if (status === (ended ? 'ended' : 'ready')) return 0
    if (status === 'ended') throw new CpuError('ERR_CPU_VM_NOT_RUNNING', `${name} has ended`)
    if (performance.now() >= end) {
      const what = ended ? 'has not ended' : 'is not ready'
      throw new CpuError('ERR_CPU_VM_WAIT', `${name} ${what} after ${(timeout ?? 0) / 1000} s`, {
        remedy: 'give it more with -timeout',
      })
    }
    await sleep(POLL_MS, undefined, { signal })
  }
})
