// What is known of a machine lies in a directory of its own in the runtime directory: its processes, its keys,
// its console, and the ssh_config fragment by which `cpu NAME` and `cpu -net vsock CID` find it.

import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { CpuError, UsageError } from '../src/errors.js'
import { NAMESPACE_VARIABLE } from '../src/namespace/parse-namespace.js'
import { machineDirectories, openRuntimeDirectory, runtimeDirectory } from '../src/runtime-directory.js'
import { generateKey } from '../src/ssh/generate-key.js'
import { type Address, formatAddress, knownHostsName } from '../src/transport/address.js'
import { isForeign, ownArchitecture } from './architecture.js'
import type { Accelerator } from './devices.js'
import type { RootType } from './guest-root.js'
import { endProcesses, identifyProcess, isAlive, type ProcessIdentity } from './process-identity.js'
import { writeError } from './write-error.js'

/** Also a host name, and a name in ssh_config. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/

/** machine.json */
export interface MachineState {
  readonly name: string
  /** Who started it. */
  readonly launcher: ProcessIdentity
  readonly qemu?: ProcessIdentity | undefined
  readonly virtiofsd: readonly ProcessIdentity[]
  readonly vhostUserVsock?: ProcessIdentity | undefined
  readonly ready: boolean
  /** Stays, whatever becomes of it, until it is stopped by name. */
  readonly kept?: boolean | undefined
  readonly cid?: number | undefined
  readonly tcpPort?: number | undefined
  /** What its root file system is, where that is not the initramfs. */
  readonly root?: RootType | undefined
  /** Where it is reached, by any transport, as messages show it; the first is the one that its name stands for. */
  readonly addresses?: readonly string[] | undefined
  /** Absent until they are decided. */
  readonly release?: string | undefined
  readonly accelerator?: Accelerator | undefined
}

export interface MachineKeys {
  /** OpenSSH private key texts. */
  readonly hostKey: string
  readonly clientKey: string
  /** Lines of authorized_keys and known_hosts: type and base64. */
  readonly hostPublicKey: string
  readonly clientPublicKey: string
}

/** Paths of the files in a machine's directory. */
export function machineFiles(directory: string) {
  return {
    state: join(directory, 'machine.json'),
    console: join(directory, 'console.log'),
    consoleSocket: join(directory, 'console.sock'),
    qemuLog: join(directory, 'qemu.log'),
    serial: join(directory, 'serial'),
    initrd: join(directory, 'initrd.cpio'),
    control: join(directory, 'control.sock'),
    monitor: join(directory, 'qmp.sock'),
    migration: join(directory, 'migration.sock'),
    humanMonitor: join(directory, 'monitor.sock'),
    gdb: join(directory, 'gdb.sock'),
    clientKey: join(directory, 'id_ed25519'),
    knownHosts: join(directory, 'known_hosts'),
    sshConfig: join(directory, 'ssh_config'),
  }
}

/**
 * Makes the directory of a new machine, with its first state. Throws UsageError for a name that cannot be one, and
 * CpuError ERR_CPU_VM_NAME_TAKEN while there is a machine of that name.
 */
export async function createMachineDirectory(
  name: string,
  state: MachineState = initialState(name),
): Promise<string> {
  if (!NAME.test(name)) {
    throw new UsageError(
      `invalid machine name ${JSON.stringify(name)}`,
      'use letters, digits, - and _, at most 63',
    )
  }
  await cleanStaleMachines()
  const runtime = openRuntimeDirectory()
  const directory = join(runtime, name)
  const unfinished = mkdtempSync(join(runtime, '.new-'))
  try {
    writeState(unfinished, state)
    // Fails where there is one with anything in it, and each has its state from the beginning.
    renameSync(unfinished, directory)
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true })
    if (!['EEXIST', 'ENOTEMPTY'].includes((error as NodeJS.ErrnoException).code ?? ''))
      throw writeError(error, runtime, 'XDG_RUNTIME_DIR')
    throw new CpuError('ERR_CPU_VM_NAME_TAKEN', `a machine named ${name} is there already`, {
      remedy: `stop it with: cpu-vm stop ${name}; or choose another -name`,
    })
  }
  return directory
}

/** Written in one rename: whoever reads it meanwhile sees the old state or the new. */
export function writeState(directory: string, state: MachineState): void {
  const { state: file } = machineFiles(directory)
  writeFileSync(`${file}.new`, `${JSON.stringify(state, undefined, 2)}\n`, { mode: 0o600 })
  renameSync(`${file}.new`, file)
}

/** Undefined when there is no readable state, such as in the moment before the first is written. */
export function readState(directory: string): MachineState | undefined {
  try {
    return JSON.parse(readFileSync(machineFiles(directory).state, 'utf8'))
  } catch {
    return undefined
  }
}

/** A machine by its name, whether it runs or not. Throws CpuError ERR_CPU_VM_UNKNOWN. */
export function findMachine(name: string): { directory: string; state: MachineState } {
  const directory = join(runtimeDirectory(), name)
  const state = NAME.test(name) ? readState(directory) : undefined
  if (state !== undefined) return { directory, state }
  throw new CpuError('ERR_CPU_VM_UNKNOWN', `no machine named ${name}`, {
    remedy: 'cpu-vm list shows those that run',
  })
}

/** The same, of one whose QEMU runs. Throws CpuError ERR_CPU_VM_UNKNOWN and ERR_CPU_VM_NOT_RUNNING. */
export function findRunning(name: string): { directory: string; state: MachineState } {
  const found = findMachine(name)
  if (!isRunning(found.state)) {
    throw new CpuError('ERR_CPU_VM_NOT_RUNNING', `${name} does not run`, {
      remedy: `cpu-vm log ${name} shows its console`,
    })
  }
  return found
}

/** The state of a first moment, in which nothing runs but who starts it. */
export function initialState(name: string): MachineState {
  return { name, launcher: identifyProcess(process.pid)!, virtiofsd: [], ready: false }
}

/** Machines whose QEMU runs, which are being started, or which are kept. */
export function listMachines(): { directory: string; state: MachineState }[] {
  return machineDirectories().flatMap(directory => {
    const state = readState(directory)
    return state !== undefined && isInUse(state) ? [{ directory, state }] : []
  })
}

/** Removes what is left of machines that ended without anybody to clean up: processes and files. */
export async function cleanStaleMachines(): Promise<void> {
  for (const directory of machineDirectories()) {
    const state = readState(directory)
    if (state !== undefined && !isInUse(state)) await removeMachine(directory)
  }
}

/** Ends what runs. */
export async function endMachine(directory: string): Promise<void> {
  const state = readState(directory)
  if (state === undefined) return
  const single = [state.qemu, state.vhostUserVsock].filter(process => process !== undefined)
  await endProcesses([...single, ...state.virtiofsd])
}

/** Ends what runs and removes the directory. */
export async function removeMachine(directory: string): Promise<void> {
  await endMachine(directory)
  rmSync(directory, { recursive: true, force: true })
}

function isInUse(state: MachineState): boolean {
  return state.kept === true || isAlive(state.launcher) || isRunning(state)
}

/** Whether its QEMU runs. */
export function isRunning({ qemu }: MachineState): boolean {
  return qemu !== undefined && isAlive(qemu)
}

export type MachineStatus = 'starting' | 'ready' | 'ended'

/** A boot may be tried again, by who started it, when its QEMU has ended. */
export function machineStatus(state: MachineState): MachineStatus {
  if (isRunning(state)) return state.ready ? 'ready' : 'starting'
  return isAlive(state.launcher) && !state.ready ? 'starting' : 'ended'
}

/** Whether its QEMU runs now. */
export function stillRuns(directory: string): boolean {
  const state = readState(directory)
  return state !== undefined && isRunning(state)
}

/** New keys of a machine: the guest's own, and the one that logs in. */
export function generateKeys(name: string): MachineKeys {
  const host = generateKey(name)
  const client = generateKey(`cpu-vm ${name}`)
  return {
    hostKey: host.private,
    hostPublicKey: host.public,
    clientKey: client.private,
    clientPublicKey: client.public,
  }
}

/** Writes key, known_hosts and ssh_config, so that the client needs to know nothing but the name. */
export function writeSshFiles(
  directory: string,
  keys: MachineKeys,
  addresses: readonly Address[],
  architecture = ownArchitecture(),
): void {
  const files = machineFiles(directory)
  writeFileSync(files.clientKey, keys.clientKey, { mode: 0o600 })
  writeFileSync(files.knownHosts, knownHosts(keys, addresses), { mode: 0o600 })
  writeFileSync(files.sshConfig, sshConfig(directory, addresses, architecture), { mode: 0o600 })
}

function knownHosts(keys: MachineKeys, addresses: readonly Address[]): string {
  return addresses.map(address => `${knownHostsName(address)} ${keys.hostPublicKey.trim()}\n`).join('')
}

/** Where the user's programs do not run, his shell among them: what of his is of use there. */
const FOREIGN_VARIABLES = `${NAMESPACE_VARIABLE}=/home SHELL=/bin/sh`

/** ssh_config(5). The first address is the one that the name stands for. */
export function sshConfig(
  directory: string,
  addresses: readonly Address[],
  architecture = ownArchitecture(),
): string {
  const files = machineFiles(directory)
  const common = [
    'User root',
    `IdentityFile ${files.clientKey}`,
    'IdentitiesOnly yes',
    'IdentityAgent none',
    'ProxyJump none',
    `UserKnownHostsFile ${files.knownHosts}`,
    'StrictHostKeyChecking yes',
    ...(isForeign(architecture) ? [`SetEnv ${FOREIGN_VARIABLES}`] : []),
  ]
  const blocks = addresses.flatMap((address, index) => {
    const host = hostName(address)
    const names = [...(index === 0 ? [basename(directory)] : []), ...(address.net === 'vsock' ? [host] : [])]
    if (names.length === 0) return []
    const port = 'port' in address ? [`Port ${address.port}`] : []
    const lines = [`HostName ${host}`, ...port, ...common]
    return [`Host ${names.join(' ')}\n${lines.map(line => `  ${line}\n`).join('')}`]
  })
  return blocks.join('\n')
}

/** As `HostName` has it, with the transport. */
function hostName(address: Address): string {
  switch (address.net) {
    case 'vsock':
      return `vsock/${address.cid}`
    case 'unix-vsock':
      return `vsock-mux${address.path}`
    case 'tcp':
      return address.host
    default:
      return formatAddress(address)
  }
}
