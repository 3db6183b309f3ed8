// Why a machine ended, or cannot go on: the end of its QEMU, in the light of what the console and QEMU's log say,
// or that of a virtiofsd, without which the guest would wait for ever.

import { setTimeout as sleep } from 'node:timers/promises'
import { panicLine } from './console-log.js'
import { type Daemon, lastLine } from './daemon-process.js'
import { machineFiles } from './machine-directory.js'
import { QEMU } from './probe.js'
import type { Virtiofsd } from './virtiofsd.js'

export interface MachineEnd {
  /** `stopped`: by us. `off`: the guest switched itself off, or was reset. */
  readonly kind: 'stopped' | 'panic' | 'off' | 'qemu' | 'virtiofsd'
  /** One line. */
  readonly message: string
}

/** QEMU closes its end of a share when it ends: its own end, which says more, is seen within this time. */
const QEMU_FIRST_MS = 500

/** Resolves when QEMU or one of the virtiofsds has ended. */
export function machineEnd(
  directory: string,
  qemu: Daemon,
  virtiofsds: readonly Virtiofsd[],
): Promise<MachineEnd> {
  let firstShareEnd: MachineEnd | undefined
  const qemuEnd = qemu.ended.then(end => {
    const described = describeEnd(directory, end)
    // QEMU gives up where a share that it is to connect to is gone.
    return described.kind === 'qemu' && end.code !== null ? (firstShareEnd ?? described) : described
  })
  const shareEnds = virtiofsds.map(async ({ daemon, share, logFile }) => {
    await daemon.ended
    const said = lastLine(logFile) ?? 'it said nothing'
    const shareEnd = {
      kind: 'virtiofsd',
      message: `virtiofsd for share ${share.tag} ended: ${said}`,
    } as const
    firstShareEnd ??= shareEnd
    const ownEnd = sleep(QEMU_FIRST_MS, shareEnd, { ref: false })
    return Promise.race([qemuEnd, ownEnd])
  })
  return Promise.race([qemuEnd, ...shareEnds])
}

function describeEnd(directory: string, { code, signal }: Awaited<Daemon['ended']>): MachineEnd {
  const files = machineFiles(directory)
  const panic = panicLine(files.console)
  if (panic !== undefined) return { kind: 'panic', message: `the guest's kernel panicked: ${panic}` }
  if (signal !== null) return { kind: 'qemu', message: `QEMU was killed by ${signal}` }
  const said = lastLine(files.qemuLog, / info: /)?.replace(`${QEMU}: `, '')
  if (code !== 0) return { kind: 'qemu', message: `QEMU ended with exit code ${code}: ${said}` }
  return { kind: 'off', message: 'the guest switched itself off or was reset' }
}
