// Why a machine ended, or cannot go on: the end of its QEMU, in the light of what the console and QEMU's log say,
// or that of a virtiofsd or a vhost-device-vsock, without which the guest would wait for ever.

import { setTimeout as sleep } from 'node:timers/promises'
import { panicLine } from './console-log.js'
import { type Daemon, lastLine } from './daemon-process.js'
import { machineFiles } from './machine-directory.js'
import { VHOST_USER_VSOCK, type VhostUserVsock } from './vhost-user-vsock.js'
import type { Virtiofsd } from './virtiofsd.js'

export interface MachineEnd {
  /** `stopped`: by us. `guest`: it switched itself off, or was reset. */
  readonly kind: 'stopped' | 'panic' | 'guest' | 'qemu' | 'virtiofsd' | 'vhost-device-vsock'
  /** One line. */
  readonly message: string
}

/** When QEMU ends, virtiofsd does, without complaint: QEMU's own end, which says more, is seen within this time. */
const QEMU_FIRST_MS = 500

/** Resolves when QEMU, or one of those that it needs, has ended. */
export function machineEnd(
  directory: string,
  qemu: Daemon,
  virtiofsds: readonly Virtiofsd[],
  vsock?: VhostUserVsock,
): Promise<MachineEnd> {
  const qemuEnd = qemu.ended.then(end => describeEnd(directory, end))
  const shareEnds = virtiofsds.map(async ({ daemon, share, logFile }) => {
    const { code } = await daemon.ended
    const said = lastLine(logFile) ?? 'it said nothing'
    const end = { kind: 'virtiofsd', message: `virtiofsd for share ${share.tag} ended: ${said}` } as const
    return code === 0 ? Promise.race([qemuEnd, sleep(QEMU_FIRST_MS, end, { ref: false })]) : end
  })
  const vsockEnds = vsock === undefined ? [] : [vsockEnd(vsock)]
  return Promise.race([qemuEnd, ...shareEnds, ...vsockEnds])
}

/** It goes on when QEMU ends. */
async function vsockEnd({ daemon, logFile }: VhostUserVsock): Promise<MachineEnd> {
  await daemon.ended
  const said = lastLine(logFile) ?? 'it said nothing'
  return { kind: VHOST_USER_VSOCK, message: `${VHOST_USER_VSOCK} ended: ${said}` }
}

function describeEnd(directory: string, { code, signal }: Awaited<Daemon['ended']>): MachineEnd {
  const files = machineFiles(directory)
  const panic = panicLine(files.console)
  if (panic !== undefined) return { kind: 'panic', message: `the guest's kernel panicked: ${panic}` }
  if (signal !== null) return { kind: 'qemu', message: `QEMU was killed by ${signal}` }
  const said = lastLine(files.qemuLog, / info: /)?.replace(/^qemu-system-\w+: /, '')
  if (code !== 0) return { kind: 'qemu', message: `QEMU ended with exit code ${code}: ${said}` }
  return { kind: 'guest', message: 'the guest switched itself off or was reset' }
}
