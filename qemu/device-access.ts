// Why a device of this machine does not open for this user, and what to do about it.

import { closeSync, existsSync, openSync, readFileSync, statSync } from 'node:fs'
import { release, userInfo } from 'node:os'
import { ModuleTree } from './modules.js'

export const KVM_DEVICE = '/dev/kvm'
export const VSOCK_DEVICE = '/dev/vhost-vsock'
export const VSOCK_MODULE = 'vhost_vsock'

/** The name of the error, such as EACCES; undefined where it opens. */
export function openError(device: string): string | undefined {
  try {
    closeSync(openSync(device, 'r+'))
    return undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'error'
  }
}

/** The module that gives this processor KVM, by the flags in /proc/cpuinfo; undefined where it cannot have any. */
export function kvmModule(cpuinfo = readFileSync('/proc/cpuinfo', 'utf8')): string | undefined {
  const flags = /^flags\s*:(.*)$/m.exec(cpuinfo)?.[1]?.split(' ') ?? []
  return flags.includes('vmx') ? 'kvm_intel' : flags.includes('svm') ? 'kvm_amd' : undefined
}

/** Undefined where the device opens. */
export function kvmRemedy(): string | undefined {
  const module = kvmModule()
  if (module === undefined && !existsSync(KVM_DEVICE))
    return 'switch virtualization on in the firmware; in a virtual machine, let its host nest'
  return deviceRemedy(KVM_DEVICE, module ?? 'kvm')
}

/** Undefined where the device opens. */
export function vsockRemedy(): string | undefined {
  return deviceRemedy(VSOCK_DEVICE, VSOCK_MODULE)
}

function deviceRemedy(device: string, module: string): string | undefined {
  const error = openError(device)
  if (error === undefined) return undefined
  if (error === 'EACCES') return accessRemedy(device, statSync(device), thisUser())
  if (error === 'EPERM') return `let this container have it, as docker does with --device ${device}`
  return moduleRemedy(module)
}

/** For a module that is not loaded. */
export function moduleRemedy(module: string): string {
  const directory = `/lib/modules/${release()}`
  if (new ModuleTree(existsSync(directory) ? directory : undefined).presence(module) === 'absent')
    return `${directory} has no ${module}: whoever runs this machine can add it`
  return `as root: modprobe ${module}; echo ${module} >/etc/modules-load.d/${module}.conf makes that last`
}

export interface User {
  readonly name: string
  /** Of this process. */
  readonly groups: readonly number[]
  /** As /etc/group has it now. */
  readonly groupFile: string
}

function thisUser(): User {
  return {
    name: userName(),
    groups: process.getgroups?.() ?? [],
    groupFile: readFileSync('/etc/group', 'utf8'),
  }
}

/** In a container, not every user has one. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return String(process.getuid?.())
  }
}

/** For a device that is closed to the user. */
export function accessRemedy(
  device: string,
  { mode, gid }: { readonly mode: number; readonly gid: number },
  user: User,
): string {
  const isForGroup = (mode & 0o060) === 0o060 && gid !== 0 && !user.groups.includes(gid)
  const group = user.groupFile
    .split('\n')
    .map(line => line.split(':'))
    .find(fields => fields[2] === String(gid))
  if (!isForGroup || group === undefined)
    return `as root: chgrp kvm ${device}; chmod 660 ${device}; usermod -aG kvm ${user.name}; then log in again`
  if (group[3]?.split(',').includes(user.name))
    return `log in again: this login is older than your being in the group ${group[0]}`
  return `as root: usermod -aG ${group[0]} ${user.name}; then log in again`
}
