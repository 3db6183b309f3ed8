// What this machine can do for virtual machines, each line with its remedy.

import { cachedKernels, kernelCache } from './kernel-search.js'
import { probeKvm, probeVhostVsock, probeVirtiofsd, qemuVersion } from './probe.js'

export interface Finding {
  readonly subject: string
  readonly works: boolean
  /** One line. */
  readonly text: string
  /** Where it does not work, what to do, or what is done instead. */
  readonly remedy?: string
}

/** Probes everything, one after the other; nothing is remembered from before. */
export async function examine(): Promise<Finding[]> {
  return [await qemu(), await kvm(), vsock(), await virtiofsd(), await kernels()]
}

/** Whether machines can be started at all: with TCG, TCP and no shares if need be. */
export function canStart(findings: readonly Finding[]): boolean {
  return findings.every(({ subject, works }) => works || (subject !== 'QEMU' && subject !== 'kernel'))
}

async function qemu(): Promise<Finding> {
  const version = await qemuVersion()
  return version === undefined
    ? { subject: 'QEMU', works: false, text: 'not installed', remedy: 'apt-get install qemu-system-x86' }
    : { subject: 'QEMU', works: true, text: version }
}

async function kvm(): Promise<Finding> {
  const { works, reason } = await probeKvm({ fresh: true })
  if (works) return { subject: 'KVM', works, text: 'a guest runs on it' }
  const remedy =
    'load kvm-intel or kvm-amd and open /dev/kvm to this user; until then the processor is emulated (TCG)'
  return { subject: 'KVM', works, text: reason, remedy }
}

function vsock(): Finding {
  const { works, reason } = probeVhostVsock()
  if (works) return { subject: 'vsock', works, text: '/dev/vhost-vsock opens' }
  const remedy =
    'modprobe vhost_vsock and open /dev/vhost-vsock to this user; until then machines are reached over TCP'
  return { subject: 'vsock', works, text: reason, remedy }
}

async function virtiofsd(): Promise<Finding> {
  const { works, reason, sandbox, program } = await probeVirtiofsd({ fresh: true })
  if (!works) {
    const remedy =
      'apt-get install virtiofsd (Debian 12: qemu-system-x86, as root); until then -share does not work'
    return { subject: 'virtiofsd', works, text: reason, remedy }
  }
  const weaker = sandbox === 'namespace' ? '' : `, the stronger one fails: ${reason}`
  return { subject: 'virtiofsd', works, text: `${program?.path} with sandbox=${sandbox}${weaker}` }
}

async function kernels(): Promise<Finding> {
  const releases = (await cachedKernels()).map(({ release }) => release)
  return releases.length === 0
    ? {
        subject: 'kernel',
        works: false,
        text: `none in ${kernelCache()}`,
        remedy: 'cpu-vm kernel -fetch amd64',
      }
    : { subject: 'kernel', works: true, text: `in the cache: ${releases.join(', ')}` }
}
