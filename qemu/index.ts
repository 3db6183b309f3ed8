// The launcher's API: `import { startMachine } from 'cpu-harness/vm'`.

export { type DebianFlavour, type FetchOptions, fetchDebianKernel } from './debian-kernel.js'
export { canStart, examine, type Finding } from './doctor.js'
export type { Kernel } from './kernel.js'
export type { KernelFeatures, Presence } from './kernel-config.js'
export type { Finding as KernelFinding } from './kernel-findings.js'
export { cachedKernels, findKernel, type KernelChoice } from './kernel-search.js'
export { type Machine, startMachine, stopMachine } from './machine.js'
export { listMachines, type MachineState } from './machine-directory.js'
export type { MachineEnd } from './machine-end.js'
export { MachineError, type MachineErrorCode } from './machine-error.js'
export type { KernelLog, Outcome, RunRecord } from './result.js'
export type { MachineOptions } from './settings.js'
