// Each part of a machine as a small value: its QEMU arguments, what the kernel's command line gets for it, and
// the modules the guest loads for it. `commandLine` puts them together; no process is started here.

import { SERIAL_PORTS, serialPortName, serialPortSocket } from '../src/transport/serial-line.js'
import type { Architecture } from './architecture.js'
import type { Disk } from './disk.js'

export interface Device {
  readonly qemu: readonly string[]
  readonly append?: readonly string[]
  readonly modules?: readonly string[]
}

export type Accelerator = 'kvm' | 'tcg'

/** QEMU's machines that guests of ours are: `q35` and `microvm` are for x86_64, `virt` is for aarch64. */
export type MachineType = 'q35' | 'microvm' | 'virt'

const MACHINES: Readonly<Record<MachineType, string>> = {
  q35: 'q35,hpet=off,smbus=off,sata=off',
  // Its devices are those of the others only with PCI.
  microvm: 'microvm,pcie=on,rtc=on',
  // The older interrupt controller is for eight processors.
  virt: 'virt,gic-version=3',
}

export interface BoardOptions {
  /** By default `q35`. */
  readonly machine?: MachineType
  readonly memoryMiB: number
  readonly cpus: number
  /** What vhost-user devices need. */
  readonly sharedMemory: boolean
  readonly memoryFile?: MemoryFile | undefined
}

/** Memory of a guest in a file, which `keeps` what the guest writes there, or stays as it is. */
export interface MemoryFile {
  readonly path: string
  readonly keeps: boolean
}

/** What every machine has. */
export function board(options: BoardOptions): Device {
  const memory = memoryBackend(options)
  return {
    qemu: [
      '-nodefaults',
      '-no-user-config',
      '-no-reboot',
      ...['-display', 'none'],
      ...memory,
      ...[
        '-machine',
        MACHINES[options.machine ?? 'q35'] + (memory.length > 0 ? ',memory-backend=memory' : ''),
      ],
      ...['-m', `${options.memoryMiB}M`],
      ...['-smp', `${options.cpus}`],
    ],
    modules: ['virtio_pci', 'overlay', 'fuse', '9p', '9pnet_fd'],
  }
}

function memoryBackend({ memoryMiB, sharedMemory, memoryFile }: BoardOptions): string[] {
  const size = `id=memory,size=${memoryMiB}M`
  if (memoryFile !== undefined) {
    const share = memoryFile.keeps ? 'on' : 'off'
    return ['-object', `memory-backend-file,${size},mem-path=${quoted(memoryFile.path)},share=${share}`]
  }
  return sharedMemory ? ['-object', `memory-backend-memfd,${size},share=on`] : []
}

/**
 * `-cpu host` needs KVM; TCG's `max` has AMD's SVM, so that a guest may have guests. What a
 * processor does well and TCG badly is left out: x86's fast copies of bytes, which are one byte at a time here (a boot takes
 * a tenth longer with them); ARM's pointer authentication, half of a guest's time, is a simple hash.
 */
export function acceleration(accelerator: Accelerator, architecture: Architecture = 'x86_64'): Device {
  if (accelerator === 'kvm') return { qemu: ['-accel', 'kvm', '-cpu', 'host'] }
  const processor = architecture === 'aarch64' ? 'max,pauth-impdef=on' : 'max,-erms'
  return { qemu: ['-accel', 'tcg,thread=multi', '-cpu', processor] }
}

/** What a guest needs for guests of its own. */
export function nested(): Device {
  return { qemu: [], modules: ['kvm-amd', 'kvm-intel', 'vhost_vsock'] }
}

/** Kernel modules that no device asks for. */
export function modules(names: readonly string[]): Device {
  return { qemu: [], modules: names }
}

/** `panic=-1` with -no-reboot: a kernel that panics ends the machine. */
export function boot(options: { image: string; initrd: string; append?: string | undefined }): Device {
  return {
    qemu: ['-kernel', options.image, '-initrd', options.initrd],
    append: ['panic=-1', 'quiet', ...(options.append === undefined ? [] : [options.append])],
  }
}

/** The board's first serial line: the kernel's console, written behind what is in a file, and open to one who attaches to the socket. */
export function serialConsole(options: { machine?: MachineType; log: string; socket: string }): Device {
  const chardev = `${listener('console', options.socket)},logfile=${quoted(options.log)},logappend=on`
  const tty = options.machine === 'virt' ? 'ttyAMA0' : 'ttyS0'
  return { qemu: ['-chardev', chardev, '-serial', 'chardev:console'], append: [`console=${tty}`] }
}

/**
 * Another serial line, on which the guest says that it is ready. QEMU starts when someone is there to hear it. It is of a
 * kind for which no kernel needs a module.
 */
export function controlLine(path: string, machine: MachineType = 'q35'): Device {
  return {
    qemu: [
      ...['-chardev', `socket,id=control,path=${quoted(path)},server=on,wait=on`],
      ...CONTROL_LINES[machine].qemu,
    ],
  }
}

/** Only a q35 has room for a second line of its own. */
const CONTROL_LINES: Readonly<
  Record<MachineType, { readonly qemu: readonly string[]; readonly tty: string }>
> = {
  q35: { qemu: ['-serial', 'chardev:control'], tty: '/dev/ttyS1' },
  microvm: { qemu: ['-device', 'isa-serial,chardev=control,index=1'], tty: '/dev/ttyS1' },
  virt: { qemu: ['-device', 'pci-serial,chardev=control'], tty: '/dev/ttyS0' },
}

/** The name under which cpud opens the control line. */
export function controlDevice(machine: MachineType): string {
  return CONTROL_LINES[machine].tty
}

/** QEMU's own control protocol, on a unix socket. */
export function monitor(path: string): Device {
  return { qemu: ['-qmp', `unix:${quoted(path)},server=on,wait=off`] }
}

/** QEMU's protocol for people, on a unix socket. */
export function humanMonitor(path: string): Device {
  return { qemu: ['-chardev', listener('monitor', path), '-mon', 'chardev=monitor,mode=readline'] }
}

/** A debugger can attach at any time; it finds the kernel where its symbols say. */
export function debuggerStub(path: string): Device {
  return { qemu: ['-gdb', `unix:${quoted(path)},server=on,wait=off`], append: ['nokaslr'] }
}

/** /dev/vda, vdb and so on, in their order. A snapshot's changes go with the machine. */
export function disk({ index, hostPath, format, readOnly, snapshot }: Disk & { index: number }): Device {
  const drive = [`file=${quoted(hostPath)}`, `id=disk${index}`, 'if=none', `format=${format}`]
  if (readOnly) drive.push('readonly=on')
  if (snapshot) drive.push('snapshot=on')
  return {
    qemu: ['-drive', drive.join(','), '-device', `virtio-blk-pci,drive=disk${index}`],
    modules: ['virtio_blk'],
  }
}

/** The descriptor by which QEMU gets /dev/vhost-vsock: the CID is set on it already. */
export const VHOST_DESCRIPTOR = 3

/** AF_VSOCK through the host's kernel. */
export function vsock(options: { cid: number }): Device {
  return {
    qemu: ['-device', `vhost-vsock-pci,guest-cid=${options.cid},vhostfd=${VHOST_DESCRIPTOR}`],
    modules: ['vmw_vsock_virtio_transport', 'vsock_loopback'],
  }
}

/** AF_VSOCK through a vhost-user daemon that listens on `socket`. Needs a board with shared memory. */
export function vhostUserVsock(options: { socket: string }): Device {
  return {
    qemu: [
      ...['-chardev', `socket,id=vsock,path=${quoted(options.socket)}`],
      ...['-device', 'vhost-user-vsock-pci,chardev=vsock'],
    ],
    modules: ['vmw_vsock_virtio_transport', 'vsock_loopback'],
  }
}

/** AF_VSOCK within the guest only, by CID 1. */
export function vsockLoopback(): Device {
  return { qemu: [], modules: ['vsock_loopback'] }
}

/** The guest's end of user networking, as QEMU has it. */
export const USER_NETWORK = {
  address: '10.0.2.15',
  prefix: 24,
  gateway: '10.0.2.2',
  nameservers: ['10.0.2.3'],
} as const

/** A network that needs no privileges, with one port of the guest's on this machine's loopback. */
export function userNetwork(options: { hostPort: number; guestPort: number }): Device {
  return {
    qemu: [
      ...['-netdev', `user,id=network,hostfwd=tcp:127.0.0.1:${options.hostPort}-:${options.guestPort}`],
      // Without its boot ROM, which nothing here boots from.
      ...['-device', 'virtio-net-pci,netdev=network,romfile='],
    ],
    modules: ['virtio_net'],
  }
}

/** What the names of a machine's virtio-serial ports begin with. */
export const SERIAL_PORT_PREFIX = 'org.cpu-harness'

/** Ports that cpud serves, with their sockets in a directory. */
export function serialPorts(options: { directory: string }): Device {
  const ports = Array.from({ length: SERIAL_PORTS }, (_, index) => {
    const name = serialPortName(SERIAL_PORT_PREFIX, index)
    return [
      ...['-chardev', listener(`port${index}`, serialPortSocket(options.directory, index))],
      ...['-device', `virtserialport,chardev=port${index},name=${name}`],
    ]
  })
  return {
    // The first port is a console's, if there is one.
    qemu: ['-device', `virtio-serial-pci,max_ports=${SERIAL_PORTS + 1}`, ...ports.flat()],
    modules: ['virtio_console'],
  }
}

/** A virtiofs share whose virtiofsd listens on `socket`. Needs a board with shared memory. */
export function share(options: { index: number; tag: string; socket: string }): Device {
  const id = `share${options.index}`
  return {
    qemu: [
      ...['-chardev', `socket,id=${id},path=${quoted(options.socket)}`],
      ...['-device', `vhost-user-fs-pci,chardev=${id},tag=${quoted(options.tag)}`],
    ],
    modules: ['virtiofs'],
  }
}

/** A directory by QEMU's own 9P server, with the owners and modes that its files have: what ours is compared with. */
export function ninePShare(options: { tag: string; hostPath: string }): Device {
  const { tag, hostPath } = options
  return {
    qemu: [
      ...['-fsdev', `local,id=${quoted(tag)},path=${quoted(hostPath)},security_model=none`],
      ...['-device', `virtio-9p-pci,fsdev=${quoted(tag)},mount_tag=${quoted(tag)}`],
    ],
    modules: ['9pnet_virtio'],
  }
}

/** The guest's root by QEMU's own 9P server, which changes nothing there. What is mounted below is in it. */
export function ninePRoot({ tag, hostPath }: { tag: string; hostPath: string }): Device {
  const access = 'security_model=none,readonly=on,multidevs=remap'
  return {
    qemu: [
      ...['-fsdev', `local,id=root,path=${quoted(hostPath)},${access}`],
      ...['-device', `virtio-9p-pci,fsdev=root,mount_tag=${tag}`],
    ],
    modules: ['9pnet_virtio'],
  }
}

/** All arguments of QEMU. */
export function commandLine(devices: readonly Device[]): string[] {
  const append = devices.flatMap(device => device.append ?? [])
  return [...devices.flatMap(({ qemu }) => qemu), '-append', append.join(' ')]
}

/** The same for a machine that goes on from a snapshot: without its boot. */
export function resumeCommandLine(devices: readonly Device[]): string[] {
  return [...devices.flatMap(({ qemu }) => qemu), ...['-incoming', 'defer']]
}

/** The modules that the devices want, each once. */
export function wantedModules(devices: readonly Device[]): string[] {
  return [...new Set(devices.flatMap(device => device.modules ?? []))]
}

/** A socket that QEMU does not wait at. */
function listener(id: string, path: string): string {
  return `socket,id=${id},path=${quoted(path)},server=on,wait=off`
}

/** A comma ends a value in QEMU's options; two stand for one. */
function quoted(value: string): string {
  return value.replaceAll(',', ',,')
}
