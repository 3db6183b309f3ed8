// Options of a machine -> what is really used: each "auto" decided by what works on this machine, the kernel
// and the image found. Every decision leaves one line.

import { realpath, stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { CpuError, UsageError } from '../src/errors.js'
import { type Architecture, isForeign } from './architecture.js'
import { kvmRemedy } from './device-access.js'
import type { Accelerator, Device, MachineType } from './devices.js'
import type { Disk } from './disk.js'
import { decideRoot, ROOT_TAG, type Root, type RootOptions, rootShares } from './guest-root.js'
import type { Kernel } from './kernel.js'
import { findKernel } from './kernel-search.js'
import { ModuleTree } from './modules.js'
import { probeKvm, probeVirtiofsd } from './probe.js'
import { requireModules } from './required-modules.js'
import { chooseTransports, type Net, type Transports } from './transports.js'
import { checkTag, type Sandbox, type Share, type ShareCache, type VirtiofsdProgram } from './virtiofsd.js'

/** All of them may be left out. docs/api.md has them in a table. */
export interface MachineOptions {
  /** Letters, digits, - and _, at most 63; by default one that is free. */
  readonly name?: string | undefined
  /** bzImage, Image or vmlinux, the directory where one was built, or a release; by default the best in the cache. */
  readonly kernel?: string | undefined
  /** By default that of the kernel that is named, else this machine's. */
  readonly arch?: Architecture | undefined
  /** By default `q35` for x86_64, and `virt` for aarch64. */
  readonly machine?: MachineType | undefined
  /** lib/modules/RELEASE; by default looked for around the kernel. */
  readonly modules?: string | undefined
  /** Names of kernel modules that the guest loads besides those that its devices need. */
  readonly extraModules?: readonly string[] | undefined
  /** More of the kernel's command line. */
  readonly append?: string | undefined
  /** In MiB, at least 384; by default 1024, nested 2048. */
  readonly memoryMiB?: number | undefined
  /** By default 2, or as many as there are; emulated 1. */
  readonly cpus?: number | undefined
  /** Directories by virtiofs, which a line `TAG /mnt virtiofs` of an fstab mounts. */
  readonly shares?: readonly ShareOptions[] | undefined
  /** /dev/vda, /dev/vdb and so on. */
  readonly disks?: readonly Disk[] | undefined
  /**
   * A directory of this machine's for the guest's root file system. The guest changes nothing in it: what is written there
   * goes with the machine. By default its root is an initramfs with cpud alone.
   */
  readonly root?: RootOptions | undefined
  /** By which transport the machine is reached; see `NETS`. */
  readonly net?: Net | undefined
  /** `auto`: KVM where it works, else TCG, which emulates the processor. */
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
  /** For the boot, until cpud is ready, in milliseconds; by default 60,000, emulated 120,000. */
  readonly timeoutMs?: number | undefined
  /** Leaves the machine running when this process ends; otherwise it is killed then, however we die. */
  readonly detached?: boolean | undefined
  /** Gives the start up; later, ends every command in the machine. What waits rejects with its reason. */
  readonly signal?: AbortSignal | undefined
  /** What is chosen and why, and what goes wrong without being fatal; one line each. */
  readonly onMessage?: ((line: string) => void) | undefined
  /** What is rather not of interest; one line each. */
  readonly onDetail?: ((line: string) => void) | undefined
  /** The time that a stage took, in milliseconds. */
  readonly onStage?: ((stage: string, ms: number) => void) | undefined
  /** What is used, before anything is started. */
  readonly onDecided?: ((settings: Settings) => void) | undefined
  /** A boot that failed before the guest spoke, and is tried once more; the reason. */
  readonly onFlake?: ((reason: string) => void) | undefined
  /** It has not come up, and this directory of its files is removed next. */
  readonly onFailed?: ((directory: string) => void) | undefined
}

export interface ShareOptions {
  /** 1 to 36 characters, by which it is mounted. */
  readonly tag: string
  /** A directory; relative to the current one. */
  readonly hostPath: string
  readonly readOnly?: boolean
  /** How long the guest keeps what it has seen of it: `never`, for a second (`auto`, the default), or `always`. */
  readonly cache?: ShareCache
}

/** Options with everything decided. */
export interface Settings extends Transports {
  readonly kernel: Kernel
  readonly machine: MachineType
  readonly tree: ModuleTree
  readonly append: string | undefined
  readonly memoryMiB: number
  readonly cpus: number
  readonly shares: readonly Share[]
  readonly disks: readonly Disk[]
  readonly root: Root | undefined
  readonly virtiofsd: { readonly program: VirtiofsdProgram; readonly sandbox: Sandbox } | undefined
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

/**
 * Decides. Throws UsageError, and CpuError ERR_CPU_VM_KVM, ERR_CPU_VM_VIRTIOFSD and those of `chooseTransports` when
 * what is asked for does not work.
 */
export async function decide(options: MachineOptions): Promise<Settings> {
  const say = options.onMessage ?? (() => undefined)
  const kernel = await findKernel(options)
  const accelerator = await chooseAccelerator(options.accel ?? 'auto', kernel.architecture, say)
  const machine = chooseMachine(options.machine, kernel.architecture, accelerator)
  const transports = chooseTransports(options.net ?? 'auto', kernel, say)
  const tree = new ModuleTree(kernel.modulesDirectory)
  const root = await decideRoot(options.root, kernel, tree)
  const shares = [...(await checkShares(options, kernel)), ...rootShares(root)]
  const nested = options.nested ?? false
  if (nested && kernel.architecture !== 'x86_64')
    throw new UsageError(`-nested is for guests of x86_64, and this one is ${kernel.architecture}`)
  warnOfLimits(kernel, nested, say)
  requireModules(options.extraModules ?? [], kernel, tree)
  return {
    kernel,
    machine,
    tree,
    append: options.append,
    memoryMiB: options.memoryMiB ?? (nested ? NESTED_MEMORY_MIB : MEMORY_MIB),
    // Emulated, one boots sooner than two, and a host of guests in half the time.
    cpus: options.cpus ?? (accelerator === 'tcg' ? 1 : Math.min(2, availableParallelism())),
    shares,
    disks: await checkDisks(options.disks ?? []),
    root,
    virtiofsd: shares.length === 0 ? undefined : await chooseVirtiofsd(shares, say),
    ...transports,
    accelerator,
    // A microvm is not for TCG.
    acceleratorOpen: (options.accel ?? 'auto') === 'auto' && machine !== 'microvm',
    nested,
    timeoutMs: options.timeoutMs ?? TIMEOUT_MS[accelerator],
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
  architecture: Architecture,
  say: (line: string) => void,
): Promise<Accelerator> {
  if (wanted === 'tcg') return 'tcg'
  if (isForeign(architecture)) {
    if (wanted === 'auto') return 'tcg'
    throw new CpuError('ERR_CPU_VM_KVM', `KVM runs no guests of ${architecture} on this machine`, {
      remedy: 'use -accel tcg, or leave it out',
    })
  }
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

/** Throws UsageError for one of another architecture, and for a microvm on TCG, where it hangs in one boot of four. */
function chooseMachine(
  wanted: MachineType | undefined,
  architecture: Architecture,
  accelerator: Accelerator,
): MachineType {
  const own = architecture === 'x86_64' ? 'q35' : 'virt'
  if (wanted === undefined || wanted === own) return own
  if (wanted !== 'microvm' || architecture !== 'x86_64')
    throw new UsageError(`-machine ${wanted} is not for guests of ${architecture}`, 'leave it out')
  if (accelerator === 'kvm') return wanted
  throw new UsageError(
    '-machine microvm needs KVM: on an emulated processor (TCG) it hangs',
    'use -machine q35; cpu-vm doctor says what keeps KVM from working',
  )
}

async function checkShares(options: MachineOptions, kernel: Kernel): Promise<Share[]> {
  const shares: Share[] = []
  for (const { tag, hostPath, readOnly = false, cache = 'auto' } of options.shares ?? []) {
    if (tag === ROOT_TAG) throw new UsageError(`the share tag ${tag} is that of -root`, 'choose another')
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
    throw new CpuError(
      'ERR_CPU_VM_VIRTIOFSD',
      `what is shared needs virtiofsd, which does not work here: ${reason}`,
      {
        remedy:
          'apt-get install qemu-system-x86 virtiofsd; the one that comes with QEMU up to 7.2 needs root, which -root 9p does not',
      },
    )
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
