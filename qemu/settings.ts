// Options of a machine -> what is really used: each "auto" decided by what works on this machine, the kernel
// and the image found. Every decision leaves one line.

import { realpath, stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { CpuError, UsageError } from '../src/errors.js'
import { kvmRemedy, vsockRemedy } from './device-access.js'
import type { Accelerator, Device } from './devices.js'
import type { Disk } from './disk.js'
import { baseImage } from './image.js'
import type { Kernel } from './kernel.js'
import { findKernel } from './kernel-search.js'
import { ModuleTree } from './modules.js'
import { probeKvm, probeVhostVsock, probeVirtiofsd } from './probe.js'
import { requireModules } from './required-modules.js'
import { checkTag, type Sandbox, type Share, type ShareCache, type VirtiofsdProgram } from './virtiofsd.js'
import { bootImage } from './vmlinux.js'

export interface MachineOptions {
  /** By default one that is free. */
  readonly name?: string | undefined
  /** bzImage or vmlinux, the directory where one was built, or a release; by default the best in the cache. */
  readonly kernel?: string | undefined
  /** lib/modules/RELEASE; by default looked for around the kernel. */
  readonly modules?: string | undefined
  /** Names of kernel modules that the guest loads besides those that its devices need. */
  readonly extraModules?: readonly string[] | undefined
  /** More of the kernel's command line. */
  readonly append?: string | undefined
  readonly memoryMiB?: number | undefined
  readonly cpus?: number | undefined
  readonly shares?: readonly ShareOptions[] | undefined
  readonly disks?: readonly Disk[] | undefined
  /** `auto`: vsock where it works, else TCP. `both` has TCP in any case. With `none` only the console leads there. */
  readonly net?: 'auto' | 'vsock' | 'tcp' | 'both' | 'none' | undefined
  readonly accel?: 'auto' | Accelerator | undefined
  /** KVM and vhost-vsock within the guest. */
  readonly nested?: boolean | undefined
  /** A debugger may attach to the guest, at `machineFiles().gdb`. */
  readonly gdb?: boolean | undefined
  /** QEMU's monitor, at `machineFiles().humanMonitor`. */
  readonly debug?: boolean | undefined
  /** More arguments of QEMU. */
  readonly qemuArgs?: readonly string[] | undefined
  /**
   * `auto`: kept as it is when it has booted, and the next of its kind goes on from there, as a copy; `never`, the default:
   * booted.
   */
  readonly snapshot?: 'auto' | 'never' | undefined
  /** What is done once, in the machine of that name, before it becomes a snapshot: what has been done once takes less. */
  readonly rehearse?: ((name: string, signal: AbortSignal) => Promise<void>) | undefined
  /** The machine's files stay when it ends or does not come up, until it is stopped by name. */
  readonly keep?: boolean | undefined
  /** More parts of the machine, such as those of devices.ts that no other option asks for. */
  readonly devices?: readonly Device[] | undefined
  /** For the boot, until cpud is ready. */
  readonly timeoutMs?: number | undefined
  /** Leaves the machine running when this process ends; otherwise it is killed then, however we die. */
  readonly detached?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  /** What is chosen and why, and what goes wrong without being fatal; one line each. */
  readonly onMessage?: ((line: string) => void) | undefined
  /** What is rather not of interest; one line each. */
  readonly onDetail?: ((line: string) => void) | undefined
  /** The time that a stage took. */
  readonly onStage?: ((stage: string, ms: number) => void) | undefined
  /** What is used, before anything is started. */
  readonly onDecided?: ((settings: Settings) => void) | undefined
  /** A boot that failed before the guest spoke, and is tried once more; the reason. */
  readonly onFlake?: ((reason: string) => void) | undefined
  /** It has not come up, and this directory of its files is removed next. */
  readonly onFailed?: ((directory: string) => void) | undefined
}

export interface ShareOptions {
  readonly tag: string
  readonly hostPath: string
  readonly readOnly?: boolean
  readonly cache?: ShareCache
}

/** Options with everything decided. */
export interface Settings {
  readonly kernel: Kernel
  readonly tree: ModuleTree
  readonly append: string | undefined
  readonly memoryMiB: number
  readonly cpus: number
  readonly shares: readonly Share[]
  readonly disks: readonly Disk[]
  readonly virtiofsd: { readonly program: VirtiofsdProgram; readonly sandbox: Sandbox } | undefined
  readonly vsock: boolean
  readonly tcp: boolean
  readonly accelerator: Accelerator
  /** Whether TCG may be tried when a boot on KVM fails. */
  readonly acceleratorOpen: boolean
  readonly nested: boolean
  readonly timeoutMs: number
}

const TIMEOUT_MS: Readonly<Record<Accelerator, number>> = { kvm: 60_000, tcg: 120_000 }
/** By default. */
export const MEMORY_MIB = 1024
const NESTED_MEMORY_MIB = 2048

/** What is made of a kernel once, and kept. */
export interface Images {
  /** What QEMU boots. */
  readonly bootImage: string
  readonly baseImage: string
}

/**
 * Decides. Throws UsageError, and CpuError ERR_CPU_VM_KVM, ERR_CPU_VM_VSOCK, ERR_CPU_VM_VIRTIOFSD when what is asked for
 * does not work.
 */
export async function decide(options: MachineOptions): Promise<Settings> {
  const say = options.onMessage ?? (() => undefined)
  const kernel = await findKernel(options)
  const accelerator = await chooseAccelerator(options.accel ?? 'auto', say)
  const { vsock, tcp } = chooseNetwork(options.net ?? 'auto', kernel, say)
  const shares = await checkShares(options, kernel)
  const nested = options.nested ?? false
  warnOfLimits(kernel, nested, say)
  const tree = new ModuleTree(kernel.modulesDirectory)
  requireModules(options.extraModules ?? [], kernel, tree)
  return {
    kernel,
    tree,
    append: options.append,
    memoryMiB: options.memoryMiB ?? (nested ? NESTED_MEMORY_MIB : MEMORY_MIB),
    // Emulated, one boots sooner than two, and a host of guests in half the time.
    cpus: options.cpus ?? (accelerator === 'tcg' ? 1 : Math.min(2, availableParallelism())),
    shares,
    disks: await checkDisks(options.disks ?? []),
    virtiofsd: shares.length === 0 ? undefined : await chooseVirtiofsd(shares, say),
    vsock,
    tcp,
    accelerator,
    acceleratorOpen: (options.accel ?? 'auto') === 'auto',
    nested,
    timeoutMs: options.timeoutMs ?? TIMEOUT_MS[accelerator],
  }
}

/** Takes them from the cache, or makes them. Throws CpuError ERR_CPU_VM_WRITE and those of `baseImage`. */
export async function prepareImages(
  kernel: Kernel,
  options: MachineOptions,
  tree?: ModuleTree,
): Promise<Images> {
  return {
    bootImage: await timed(options, 'kernel', () => bootImage(kernel.image)),
    baseImage: await timed(options, 'image', () => baseImage({ kernel, tree, signal: options.signal })),
  }
}

/** Runs a stage and reports its time. */
export async function timed<T>(options: MachineOptions, stage: string, run: () => Promise<T>): Promise<T> {
  const start = performance.now()
  const result = await run()
  options.onStage?.(stage, performance.now() - start)
  return result
}

async function chooseAccelerator(
  wanted: 'auto' | Accelerator,
  say: (line: string) => void,
): Promise<Accelerator> {
  if (wanted === 'tcg') return 'tcg'
  const kvm = await probeKvm()
  if (kvm.works) return 'kvm'
  if (wanted === 'auto') {
    say(`emulating the processor (TCG), which is slow: KVM does not work here, ${kvm.reason}`)
    return 'tcg'
  }
  throw new CpuError('ERR_CPU_VM_KVM', `KVM does not work here: ${kvm.reason}`, {
    remedy: `${kvmRemedy() ?? 'look at dmesg'}; or use -accel tcg`,
  })
}

function chooseNetwork(
  wanted: NonNullable<MachineOptions['net']>,
  kernel: Kernel,
  say: (line: string) => void,
): { vsock: boolean; tcp: boolean } {
  if (wanted === 'none') return { vsock: false, tcp: false }
  if (wanted === 'tcp') return { vsock: false, tcp: true }
  const reason = reasonAgainstVsock(kernel, wanted === 'vsock')
  if (reason === '') return { vsock: true, tcp: wanted === 'both' }
  if (wanted !== 'vsock') {
    say(`using TCP instead of vsock: ${reason}`)
    return { vsock: false, tcp: true }
  }
  throw new CpuError('ERR_CPU_VM_VSOCK', `vsock does not work here: ${reason}`, {
    remedy: `${vsockRemedy() ?? 'use another kernel'}; or use -net tcp`,
  })
}

/** Empty if there is none. What a kernel has that does not tell is not relied on, unless it is `forced`. */
function reasonAgainstVsock({ release, features }: Kernel, forced: boolean): string {
  if (features.vsock === 'absent') return `kernel ${release} has no vsock`
  if (features.vsock === 'unknown' && !forced) return `nothing tells whether kernel ${release} has vsock`
  return probeVhostVsock().reason
}

async function checkShares(options: MachineOptions, kernel: Kernel): Promise<Share[]> {
  const shares: Share[] = []
  for (const { tag, hostPath, readOnly = false, cache = 'auto' } of options.shares ?? []) {
    if (shares.some(share => share.tag === tag)) throw new UsageError(`two shares have the tag ${tag}`)
    const path = await realpath(hostPath).catch(() => undefined)
    if (path === undefined || !(await stat(path)).isDirectory())
      throw new UsageError(`no such directory to share: ${hostPath}`, 'write -share TAG=DIR')
    shares.push({ tag: checkTag(tag), hostPath: path, readOnly, cache })
  }
  if (shares.length > 0 && kernel.features.virtiofs === 'absent') {
    throw new CpuError('ERR_CPU_VM_SHARE', `kernel ${kernel.release} has no virtiofs`, {
      remedy: 'build it with CONFIG_VIRTIO_FS, or leave -share out',
    })
  }
  return shares
}

async function checkDisks(disks: readonly Disk[]): Promise<Disk[]> {
  return Promise.all(
    disks.map(async disk => {
      const path = await realpath(disk.hostPath).catch(() => undefined)
      const status = path === undefined ? undefined : await stat(path)
      if (path === undefined || !(status?.isFile() || status?.isBlockDevice()))
        throw new UsageError(`no such disk: ${disk.hostPath}`, 'write -disk FILE')
      return { ...disk, hostPath: path }
    }),
  )
}

async function chooseVirtiofsd(
  shares: readonly Share[],
  say: (line: string) => void,
): Promise<Settings['virtiofsd']> {
  const { program, works, sandbox, reason } = await probeVirtiofsd()
  if (program === undefined || !works) {
    throw new CpuError('ERR_CPU_VM_VIRTIOFSD', `shares need virtiofsd, which does not work here: ${reason}`, {
      remedy: 'apt-get install qemu-system-x86 virtiofsd; the one that comes with QEMU up to 7.2 needs root',
    })
  }
  if (sandbox === 'chroot') say(`virtiofsd runs with sandbox=chroot, the stronger one fails: ${reason}`)
  // pivot_root into what is the root already is refused.
  const whole = sandbox === 'namespace' && shares.some(share => share.hostPath === '/')
  if (whole) say('virtiofsd runs with sandbox=chroot, since / is shared')
  return { program, sandbox: whole ? 'chroot' : sandbox }
}

function warnOfLimits(kernel: Kernel, nested: boolean, say: (line: string) => void): void {
  if (kernel.features['9p'] === 'absent' && kernel.features.fuse === 'absent')
    say(`kernel ${kernel.release} has neither FUSE nor 9P: commands there will not see your files`)
  if (nested && kernel.features.kvm === 'absent')
    say(`kernel ${kernel.release} has no KVM for guests of its own`)
}
