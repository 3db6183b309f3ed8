// cpu-vm start: a machine that stays.

import { describeMachine } from '../dry-run.js'
import { machineOptions, START_FLAGS } from '../flags.js'
import { startMachine } from '../machine.js'
import { machineFiles } from '../machine-directory.js'
import { projectCommand, refuseOperands, reporting } from './command.js'
import { print, say } from './output.js'

export const start = projectCommand('start', START_FLAGS, async (flags, signal) => {
  refuseOperands(flags)
  const { values } = flags
  const options = { ...machineOptions(values), ...reporting(values.v), signal, detached: true }
  if (values['dry-run']) return print(await describeMachine(options))
  const machine = await startMachine(options)
  const { name, addresses, cid, bootMs, directory } = machine
  const hints = addresses.length === 0 ? [] : [`cpu ${name} COMMAND`]
  if (cid !== undefined) hints.push(`cpu -net vsock ${cid} COMMAND`)
  if (hints.length === 0) hints.push(`cpu-vm console ${name}`)
  say(`${name} is ready (${(bootMs / 1000).toFixed(1)} s): ${hints.join(', or ')}`)
  if (values.gdb) say(`for a debugger: target remote ${machineFiles(directory).gdb}`)
  if (values.debug) say(`QEMU's monitor: cpu-vm console -monitor ${name}`)
  return 0
})
