// cpu-vm list

import { LIST_FLAGS } from '../flags.js'
import { cleanStaleMachines, listMachines, type MachineState, machineStatus } from '../machine-directory.js'
import { command, refuseOperands } from './command.js'
import { print, printJson, table } from './output.js'

const HEADINGS = ['NAME', 'STATE', 'ADDRESS', 'KERNEL', 'ACCEL', 'PID']

export const list = command('list', LIST_FLAGS, async flags => {
  refuseOperands(flags)
  await cleanStaleMachines()
  const machines = listMachines()
  if (flags.values.json) {
    return printJson(machines.map(({ directory, state }) => ({ ...describe(state), directory })))
  }
  const rows = machines.map(({ state }) => {
    const { name, status, addresses, release, accelerator, pid } = describe(state)
    return [name, status, addresses.join(', ') || '-', release ?? '-', accelerator ?? '-', String(pid ?? '-')]
  })
  return print(table([HEADINGS, ...rows]))
})

/** As `list -json` has it. */
function describe(state: MachineState) {
  return {
    name: state.name,
    status: machineStatus(state),
    cid: state.cid ?? null,
    tcpPort: state.tcpPort ?? null,
    addresses: state.addresses ?? [],
    release: state.release ?? null,
    accelerator: state.accelerator ?? null,
    pid: state.qemu?.pid ?? null,
  }
}
