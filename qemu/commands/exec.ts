// cpu-vm exec: one more command in a machine that runs.

import { CpuError, UsageError } from '../../src/errors.js'
import { EXEC_FLAGS } from '../flags.js'
import { findRunning } from '../machine-directory.js'
import { projectCommand } from './command.js'
import { runSessionIn } from './session.js'

export const exec = projectCommand('exec', EXEC_FLAGS, async ({ values, operands }) => {
  const [name, ...rest] = operands
  if (name === undefined)
    throw new UsageError('no machine is named', 'for example: cpu-vm exec v -- uname -r')
  findRunning(name)
  const limit = new AbortController()
  const { timeout } = values
  const timer = timeout === undefined ? undefined : setTimeout(() => limit.abort(tooLate(timeout)), timeout)
  try {
    // Signals go to the command, as with cpu: the machine stays.
    const { exitCode } = await runSessionIn(
      name,
      values,
      rest[0] === '--' ? rest.slice(1) : rest,
      limit.signal,
    )
    return exitCode
  } finally {
    clearTimeout(timer)
  }
})

function tooLate(timeoutMs: number): CpuError {
  return new CpuError('ERR_CPU_VM_COMMAND_TIMEOUT', `the command has not ended after ${timeoutMs / 1000} s`, {
    remedy: 'give it more with -timeout',
  })
}
