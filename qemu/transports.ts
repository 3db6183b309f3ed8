// The ladder of transports: by which of them a machine is reached. Each rung is taken where the ones above it do not
// work here, or with this kernel, and the reason is said in one line.

import { CpuError } from '../src/errors.js'
import { vsockRemedy } from './device-access.js'
import type { Kernel } from './kernel.js'
import { probeVhostVsock } from './probe.js'
import { findVhostUserVsock, VHOST_USER_VSOCK } from './vhost-user-vsock.js'

/**
 * `auto`: the best that works, of vsock, vhost-user, tcp, serial. `both` is `auto` and TCP in any case. With `none` only
 * the console leads there.
 */
export const NETS = ['auto', 'vsock', 'vhost-user', 'tcp', 'serial', 'both', 'none'] as const

export type Net = (typeof NETS)[number]

export interface Transports {
  /** By vhost-vsock of the host's kernel. */
  readonly vsock: boolean
  /** The vhost-device-vsock that gives the machine its vsock instead. */
  readonly vhostUserVsock: string | undefined
  readonly tcp: boolean
  readonly serial: boolean
}

const NOTHING: Transports = { vsock: false, vhostUserVsock: undefined, tcp: false, serial: false }

/** Throws CpuError ERR_CPU_VM_VSOCK and ERR_CPU_VM_SERIAL for what is asked for and does not work. */
export function chooseTransports(wanted: Net, kernel: Kernel, say: (line: string) => void): Transports {
  switch (wanted) {
    case 'none':
      return NOTHING
    case 'tcp':
      return { ...NOTHING, tcp: true }
    case 'vsock':
      requireVsock('vsock', reasonAgainstVsock(kernel, true) || probeVhostVsock().reason)
      return { ...NOTHING, vsock: true }
    case 'vhost-user': {
      const { program, reason } = findVhostUserVsock()
      requireVsock('vhost-user', reasonAgainstVsock(kernel, true) || reason)
      return { ...NOTHING, vhostUserVsock: program }
    }
    case 'serial':
      if (kernel.features['virtio-serial'] !== 'absent') return { ...NOTHING, serial: true }
      throw new CpuError('ERR_CPU_VM_SERIAL', `kernel ${kernel.release} has no virtio-serial`, {
        remedy: 'build it with CONFIG_VIRTIO_CONSOLE, or use -net auto',
      })
    default:
      return climbDown(wanted === 'both', kernel, say)
  }
}

function climbDown(alsoTcp: boolean, kernel: Kernel, say: (line: string) => void): Transports {
  const inKernel = reasonAgainstVsock(kernel, false)
  const inHost = inKernel || probeVhostVsock().reason
  if (inHost === '') return { ...NOTHING, vsock: true, tcp: alsoTcp }
  const { program, reason } = findVhostUserVsock()
  if (inKernel === '' && program !== undefined) {
    say(`using ${VHOST_USER_VSOCK} instead of vhost-vsock: ${inHost}`)
    return { ...NOTHING, vhostUserVsock: program, tcp: alsoTcp }
  }
  const why = inKernel === '' ? `${inHost}, and ${reason}` : inHost
  if (
    kernel.features['virtio-net'] === 'absent' &&
    kernel.features['virtio-serial'] !== 'absent' &&
    !alsoTcp
  ) {
    say(`using virtio-serial instead of TCP: ${why}, and kernel ${kernel.release} has no virtio_net`)
    return { ...NOTHING, serial: true }
  }
  say(`using TCP instead of vsock: ${why}`)
  return { ...NOTHING, tcp: true }
}

/** `reason` is what is against it, empty for nothing. */
function requireVsock(wanted: 'vsock' | 'vhost-user', reason: string): void {
  if (reason === '') return
  const remedy = wanted === 'vsock' ? vsockRemedy() : `install ${VHOST_USER_VSOCK}`
  throw new CpuError('ERR_CPU_VM_VSOCK', `${wanted} does not work here: ${reason}`, {
    remedy: `${remedy ?? 'use another kernel'}; or use -net tcp`,
  })
}

/** Empty if there is none. What a kernel has that does not tell is not relied on, unless it is `forced`. */
function reasonAgainstVsock({ release, features }: Kernel, isForced: boolean): string {
  if (features.vsock === 'absent') return `kernel ${release} has no vsock`
  if (features.vsock === 'unknown' && !isForced) return `nothing tells whether kernel ${release} has vsock`
  return ''
}
