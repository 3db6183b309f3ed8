// What a machine is made of, and where it is reached.

import { type Address, DEFAULT_PORT } from '../src/transport/address.js'
import type { AttemptOptions } from './boot-attempt.js'
import * as devices from './devices.js'
import { ROOT_TAG } from './guest-root.js'
import { machineFiles } from './machine-directory.js'
import type { MachineOptions, Settings } from './settings.js'
import { vhostUserVsockSockets } from './vhost-user-vsock.js'
import { shareSocket } from './virtiofsd.js'

/** All that it is made of, but what it boots. */
export function machineDevices({
  directory,
  settings,
  options,
  cid,
  tcpPort,
  snapshot,
  draft,
}: Omit<AttemptOptions, 'images' | 'keys' | 'state'>): devices.Device[] {
  const files = machineFiles(directory)
  const { machine, memoryMiB, cpus, kernel, vhostUserVsock } = settings
  const sharedMemory = settings.shares.length > 0 || vhostUserVsock !== undefined
  return [
    devices.board({ machine, memoryMiB, cpus, sharedMemory, memoryFile: memoryFile({ snapshot, draft }) }),
    devices.acceleration(settings.accelerator, kernel.architecture),
    devices.serialConsole({ machine, log: files.console, socket: files.consoleSocket }),
    devices.controlLine(files.control, machine),
    devices.monitor(files.monitor),
    vsockDevice(directory, cid, vhostUserVsock !== undefined),
    ...(settings.serial ? [devices.serialPorts({ directory: files.serial })] : []),
    ...(tcpPort === undefined ? [] : [devices.userNetwork({ hostPort: tcpPort, guestPort: DEFAULT_PORT })]),
    ...settings.shares.map((share, index) =>
      devices.share({ index, tag: share.tag, socket: shareSocket(directory, share) }),
    ),
    ...(settings.root?.type === '9p' ? [devices.ninePRoot({ ...settings.root, tag: ROOT_TAG })] : []),
    ...settings.disks.map((disk, index) => devices.disk({ ...disk, index })),
    ...(options.gdb ? [devices.debuggerStub(files.gdb)] : []),
    ...(options.debug ? [devices.humanMonitor(files.humanMonitor)] : []),
    ...(settings.nested ? [devices.nested()] : []),
    devices.modules(options.extraModules ?? []),
    ...(options.devices ?? []),
  ]
}

function vsockDevice(directory: string, cid: number | undefined, isVhostUser: boolean): devices.Device {
  if (isVhostUser) return devices.vhostUserVsock({ socket: vhostUserVsockSockets(directory).device })
  return cid === undefined ? devices.vsockLoopback() : devices.vsock({ cid })
}

function memoryFile({ snapshot, draft }: Pick<AttemptOptions, 'snapshot' | 'draft'>) {
  if (snapshot !== undefined) return { path: snapshot.memory, keeps: false }
  return draft && { path: draft.memory, keeps: true }
}

export function bootDevice({
  images: { bootImage, machineImage },
  settings: { append },
}: Pick<AttemptOptions, 'images' | 'settings'>): devices.Device {
  return devices.boot({ image: bootImage, initrd: machineImage, append })
}

/** Of any machine of this kind: what is one machine's own is the same in all. */
export function kindDevices(settings: Settings, options: MachineOptions): devices.Device[] {
  const cid = settings.vsock ? 3 : undefined
  const tcpPort = settings.tcp ? 1 : undefined
  return machineDevices({ directory: '/', settings, options, cid, tcpPort })
}

/** Where cpud of the machine can be reached; the first is the one that its name stands for. */
export function machineAddresses(
  attempt: Pick<AttemptOptions, 'directory' | 'settings' | 'cid' | 'tcpPort'>,
): Address[] {
  const { directory, settings, cid, tcpPort } = attempt
  const vsock: Address[] = cid === undefined ? [] : [{ net: 'vsock', cid, port: DEFAULT_PORT }]
  const tcp: Address[] =
    tcpPort === undefined ? [] : [{ net: 'tcp', host: '127.0.0.1', port: tcpPort, family: 4 }]
  const { guest } = vhostUserVsockSockets(directory)
  const mux: Address[] =
    settings.vhostUserVsock === undefined ? [] : [{ net: 'unix-vsock', path: guest, port: DEFAULT_PORT }]
  const serial: Address[] = settings.serial ? [{ net: 'serial', path: machineFiles(directory).serial }] : []
  return [...vsock, ...mux, ...tcp, ...serial]
}
