// What this machine can do for virtual machines, each line with its remedy.

import { execa } from 'execa'
import { SERIAL_PORTS } from '../src/transport/serial-line.js'
import {
  ARCHITECTURES,
  type Architecture,
  isForeign,
  ownArchitecture,
  platforms,
  qemuProgram,
} from './architecture.js'
import { kvmRemedy, vsockRemedy } from './device-access.js'
import * as host from './doctor-host.js'
import { missingCompiler } from './foreign-parts.js'
import { bootKernels, cachedKernels, kernelCache } from './kernel-search.js'
import { probeKvm, probeVhostVsock, probeVirtiofsd, QEMU, qemuVersion } from './probe.js'
import { findVhostUserVsock, VHOST_USER_VSOCK } from './vhost-user-vsock.js'

export interface Finding {
  readonly subject: string
  readonly works: boolean
  /** Without it no machine can be started. */
  readonly required?: boolean
  /** One line. */
  readonly text: string
  /** Where it does not work, what to do, or what is done instead. */
  readonly remedy?: string
}

/** Probes everything, one after the other; nothing is remembered from before. */
export async function examine(): Promise<Finding[]> {
  return [
    await qemu(),
    await kvm(),
    vsock(),
    vhostUser(),
    await qemuDevice('TCP', ['-netdev', 'help'], /^user$/m, 'QEMU has user networking'),
    await qemuDevice('serial', ['-device', 'help'], /"virtserialport"/, SERIAL_TEXT),
    host.permissions(),
    host.hostModules(),
    await virtiofsd(),
    host.memory(),
    await host.cacheSpace(),
    await host.machineSpace(),
    await kernels(),
    ...(await Promise.all(ARCHITECTURES.filter(isForeign).map(foreignGuests))),
    await host.apt(),
    host.tools(),
    host.sshKeys(),
  ]
}

/** Whether machines can be started at all: with TCG, TCP and no shares if need be. */
export function canStart(findings: readonly Finding[]): boolean {
  return findings.every(({ works, required }) => works || required !== true)
}

async function qemu(): Promise<Finding> {
  const version = await qemuVersion()
  const line = { subject: 'QEMU', required: true }
  return version === undefined
    ? { ...line, works: false, text: 'not installed', remedy: 'apt-get install qemu-system-x86' }
    : { ...line, works: true, text: version }
}

async function kvm(): Promise<Finding> {
  const { works, reason } = await probeKvm({ fresh: true })
  if (works) return { subject: 'KVM', works, text: 'a guest runs on it' }
  const remedy = kvmRemedy() ?? 'look at dmesg; in a virtual machine, its host may not nest'
  return {
    subject: 'KVM',
    works,
    text: reason,
    remedy: `${remedy}; until then the processor is emulated (TCG)`,
  }
}

function vsock(): Finding {
  const { works, reason } = probeVhostVsock()
  if (works) return { subject: 'vsock', works, text: '/dev/vhost-vsock opens' }
  const remedy = `${vsockRemedy()}; until then machines are reached by vhost-user, TCP or virtio-serial`
  return { subject: 'vsock', works, text: reason, remedy }
}

function vhostUser(): Finding {
  const { program, reason } = findVhostUserVsock()
  if (program !== undefined) return { subject: 'vhost-user', works: true, text: program }
  const remedy = `apt-get install ${VHOST_USER_VSOCK} (from Debian 14 on); needed only where vsock does not work`
  return { subject: 'vhost-user', works: false, text: reason, remedy }
}

const SERIAL_TEXT = `QEMU has virtio-serial, for ${SERIAL_PORTS} commands at a time`

/** What QEMU may have been built without. */
async function qemuDevice(
  subject: string,
  question: readonly string[],
  expected: RegExp,
  text: string,
): Promise<Finding> {
  const { stdout } = await execa(QEMU, question, { reject: false, timeout: 10_000 })
  if (expected.test(stdout ?? '')) return { subject, works: true, text }
  return { subject, works: false, text: 'QEMU is without it', remedy: 'install a QEMU with it' }
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
  const line = { subject: 'kernel', required: true }
  const releases = (await cachedKernels(ownArchitecture())).map(({ release }) => release)
  if (releases.length > 0) return { ...line, works: true, text: `in the cache: ${releases.join(', ')}` }
  const [installed] = await bootKernels(() => undefined)
  const own = installed === undefined ? '' : `; or use this machine's own: -kernel ${installed.release}`
  return {
    ...line,
    works: false,
    text: `none in ${kernelCache()}`,
    remedy: `cpu-vm kernel -fetch amd64${own}`,
  }
}

/** What `-arch` takes. */
async function foreignGuests(architecture: Architecture): Promise<Finding> {
  const { qemuPackage, debian } = platforms[architecture]
  const fail = (text: string, remedy: string): Finding => ({
    subject: architecture,
    works: false,
    text,
    remedy: `${remedy}; until then there are no guests of ${architecture}`,
  })
  const version = await qemuVersion(qemuProgram(architecture))
  const packages = [version === undefined ? qemuPackage : undefined, missingCompiler(architecture)]
  const missing = packages.filter(name => name !== undefined)
  if (missing.length > 0)
    return fail(`${missing.join(', ')}: not installed`, `apt-get install ${missing.join(' ')}`)
  const releases = (await cachedKernels(architecture)).map(({ release }) => release)
  if (releases.length === 0) return fail('no kernel for it', `cpu-vm kernel -fetch ${debian}`)
  return { subject: architecture, works: true, text: `QEMU ${version}, emulated; ${releases.join(', ')}` }
}
