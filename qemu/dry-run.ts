// What would be started for a machine: command lines that a shell takes. Nothing is started, and the machine has
// no directory yet.

import { join } from 'node:path'
import { runtimeDirectory } from '../src/runtime-directory.js'
import { quoteLine } from '../src/ssh/quote.js'
import { freeCid, freePort } from './addresses.js'
import { qemuProgram } from './architecture.js'
import { qemuArguments } from './boot-attempt.js'
import { VSOCK_DEVICE } from './device-access.js'
import { VHOST_DESCRIPTOR } from './devices.js'
import { prepareImages } from './images.js'
import { decide, type MachineOptions } from './settings.js'
import { vhostUserVsockCommand } from './vhost-user-vsock.js'
import { shareSocket, virtiofsdCommand } from './virtiofsd.js'

/** Each command on a line of its own, with a comment for what a line cannot say. Throws as `decide`. */
export async function describeMachine(options: MachineOptions): Promise<string> {
  const settings = await decide(options)
  const directory = join(runtimeDirectory(), options.name ?? 'NAME')
  const shares = settings.shares.map(share => {
    const { command, args } = virtiofsdCommand({ ...settings.virtiofsd!, share })
    return `# descriptor 0 is a socket that listens at ${shareSocket(directory, share)}\n${quoteLine([command, ...args])}`
  })
  const program = settings.vhostUserVsock
  const vsock = program === undefined ? undefined : vhostUserVsockCommand({ program, directory })
  const daemons = vsock === undefined ? shares : [...shares, quoteLine([vsock.command, ...vsock.args])]
  const images = await prepareImages(settings, options)
  const cid = settings.vsock ? freeCid() : undefined
  const tcpPort = settings.tcp ? await freePort() : undefined
  const qemu = qemuArguments({ directory, settings, images, options, cid, tcpPort })
  const vhost = cid === undefined ? '' : ` ${VHOST_DESCRIPTOR}<>${VSOCK_DEVICE}`
  return `${[...daemons, quoteLine([qemuProgram(settings.kernel.architecture), ...qemu]) + vhost].join('\n')}\n`
}
