// The processors that guests have, and what is called differently for each: QEMU's program, Debian's packages, Node's.

import { machine } from 'node:os'
import { CpuError } from '../src/errors.js'
import { findInPath } from '../src/in-path.js'

/** As `uname -m` has them. */
export const ARCHITECTURES = ['x86_64', 'aarch64'] as const

export type Architecture = (typeof ARCHITECTURES)[number]

export interface Platform {
  /** As Debian has it. */
  readonly debian: string
  /** As Node has it. */
  readonly node: string
  /** In an ELF header, <elf.h>. */
  readonly elfMachine: number
  /** Where a build leaves the kernel that QEMU boots. */
  readonly builtImages: readonly string[]
  readonly qemuPackage: string
}

export const platforms: Readonly<Record<Architecture, Platform>> = {
  x86_64: {
    debian: 'amd64',
    node: 'x64',
    elfMachine: 62,
    builtImages: ['arch/x86/boot/bzImage'],
    qemuPackage: 'qemu-system-x86',
  },
  aarch64: {
    debian: 'arm64',
    node: 'arm64',
    elfMachine: 183,
    builtImages: ['arch/arm64/boot/Image', 'arch/arm64/boot/Image.gz'],
    qemuPackage: 'qemu-system-arm',
  },
}

export function qemuProgram(architecture: Architecture): string {
  return `qemu-system-${architecture}`
}

/** Where it is. Throws CpuError ERR_CPU_VM_QEMU_MISSING. */
export function findQemu(architecture: Architecture): string {
  const program = qemuProgram(architecture)
  const found = findInPath(program)
  if (found !== undefined) return found
  throw new CpuError('ERR_CPU_VM_QEMU_MISSING', `${program} is not installed`, {
    remedy: `apt-get install ${platforms[architecture].qemuPackage}`,
  })
}

/** This machine's, or what guests are by default where it is none of these. */
export function ownArchitecture(): Architecture {
  return ARCHITECTURES.find(name => name === machine()) ?? 'x86_64'
}

/** Whether this machine's programs do not run there. */
export function isForeign(architecture: Architecture): boolean {
  return architecture !== ownArchitecture()
}
