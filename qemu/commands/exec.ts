// cpu-vm exec: one more command in a machine that runs.

import { CpuError, UsageError } from '../../src/errors.js'
import { EXEC_FLAGS } from '../flags.js'
import { findRunning } from '../machine-directory.js'
import { projectCommand } from './command.js'
import { runSessionIn } from './session.js'

export const exec = projectCommand('exec', EXEC_FLAGS, async ({ values, operands }, signal) => {
  const [name, ...rest] = operands
  if (name === undefined)
    throw new UsageError('no machine is named', 'for example: cpu-vm exec v -- uname -r')
  if (findRunning(name).state.addresses?.length === 0)
    throw new UsageError(`no command gets into ${name}, which has -net none`, `use cpu-vm console ${name}`)
  const { timeout } = values
  const over = new AbortController()
  const interrupt = () => over.abort(signal.reason)
  signal.addEventListener('abort', interrupt)
  const timer = timeout === undefined ? undefined : setTimeout(() => over.abort(tooLate(timeout)), timeout)
  try {
    const { exitCode } = await runSessionIn(name, values, rest[0] === '--' ? rest.slice(1) : rest, {
      signal: over.signal,
      // As with cpu, it then gets the signals itself.
      onStart: () => signal.removeEventListener('abort', interrupt),
    })
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
