// The API: `import { startMachine } from 'cpu-harness'`. docs/api.md explains all of it.

export type { KernelLogReport } from '../src/cpud/guest-control.js'
export { CpuError, SystemError, UsageError } from '../src/errors.js'
export { CommandError, type CommandErrorCode, type CommandOutput } from './command-error.js'
export type {
  CommandEnd,
  CommandResult,
  MachineCommand,
  RunOptions,
  SpawnOptions,
} from './command-options.js'
export { type DebianFlavour, type FetchOptions, fetchDebianKernel } from './debian-kernel.js'
export type { Accelerator } from './devices.js'
export type { Disk } from './disk.js'
export { canStart, examine, type Finding } from './doctor.js'
export type { RootOptions } from './guest-root.js'
export type { Kernel } from './kernel.js'
export type { KernelFeatures, Presence } from './kernel-config.js'
export type { Finding as KernelFinding } from './kernel-findings.js'
export { cachedKernels, findKernel, type KernelChoice } from './kernel-search.js'
export { type Machine, startMachine, stopMachine } from './machine.js'
export { listMachines, type MachineState } from './machine-directory.js'
export type { MachineEnd } from './machine-end.js'
export { MachineError, type MachineErrorCode } from './machine-error.js'
export type { FailOn, KernelLog, Outcome, RunRecord } from './result.js'
export type { MachineOptions, ShareOptions } from './settings.js'
