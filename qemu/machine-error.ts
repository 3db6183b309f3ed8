// A machine that did not come up, or went down.

import { CpuError } from '../src/errors.js'

export type MachineErrorCode =
  | 'ERR_CPU_VM_PANIC'
  | 'ERR_CPU_VM_EXITED'
  | 'ERR_CPU_VM_TIMEOUT'
  | 'ERR_CPU_VM_GUEST'
  | 'ERR_CPU_VM_QEMU'
  | 'ERR_CPU_VM_SHARE'
  | 'ERR_CPU_VM_VSOCK'

/** Of a machine that ended, by MachineEnd's kinds. */
export const END_CODES = {
  panic: 'ERR_CPU_VM_PANIC',
  guest: 'ERR_CPU_VM_EXITED',
  qemu: 'ERR_CPU_VM_QEMU',
  virtiofsd: 'ERR_CPU_VM_SHARE',
  'vhost-device-vsock': 'ERR_CPU_VM_VSOCK',
} as const

/** Carries what the console showed last. */
export class MachineError extends CpuError {
  override readonly name = 'MachineError'
  /** Oldest first, at most 20 lines. */
  readonly consoleTail: readonly string[]
  /** Whether PID 1 had spoken; before that, a failure may be the machine's and not the guest's. */
  readonly guestSpoke: boolean

  constructor(
    code: MachineErrorCode,
    message: string,
    details: { consoleTail: readonly string[]; guestSpoke: boolean; remedy?: string | undefined },
  ) {
    super(code, message, { remedy: details.remedy })
    this.consoleTail = details.consoleTail
    this.guestSpoke = details.guestSpoke
  }
}
