// cpu-vm list

import { LIST_FLAGS } from '../flags.js'
import { cleanStaleMachines, listMachines, type MachineState, machineStatus } from '../machine-directory.js'
import { command, refuseOperands } from './command.js'
import { print, printJson, table } from './output.js'

const HEADINGS = ['NAME', 'STATE', 'VSOCK', 'TCP', 'KERNEL', 'ACCEL', 'PID']

export const list = command('list', LIST_FLAGS, async flags => {
  refuseOperands(flags)
  await cleanStaleMachines()
  const machines = listMachines()
  if (flags.values.json) {
    return printJson(machines.map(({ directory, state }) => ({ ...describe(state), directory })))
  }
  const rows = machines.map(({ state }) => {
    const { name, status, cid, tcpPort, release, accelerator, pid } = describe(state)
    const addresses = [cid === null ? '-' : `vsock/${cid}`, tcpPort === null ? '-' : `127.0.0.1:${tcpPort}`]
    return [name, status, ...addresses, release ?? '-', accelerator ?? '-', String(pid ?? '-')]
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
    release: state.release ?? null,
    accelerator: state.accelerator ?? null,
    pid: state.qemu?.pid ?? null,
  }
}
