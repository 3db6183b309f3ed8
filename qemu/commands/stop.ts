// cpu-vm stop

import { UsageError } from '../../src/errors.js'
import { PLAIN_FLAGS } from '../flags.js'
import { stopMachine } from '../machine.js'
import { command } from './command.js'

export const stop = command('stop', PLAIN_FLAGS, async ({ operands }) => {
  if (operands.length === 0) throw new UsageError('no machine is named', 'cpu-vm list shows those that run')
  for (const name of operands) await stopMachine(name)
  return 0
})
