// What is known of a machine lies in a directory of its own in the runtime directory: its processes, its keys,
// its console, and the ssh_config fragment by which `cpu NAME` and `cpu -net vsock CID` find it.

import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { CpuError, UsageError } from '../src/errors.js'
import { machineDirectories, openRuntimeDirectory } from '../src/runtime-directory.js'
import { generateKey } from '../src/ssh/generate-key.js'
import { type Address, knownHostsName } from '../src/transport/address.js'
import type { Accelerator } from './devices.js'
import { endProcesses, identifyProcess, isAlive, type ProcessIdentity } from './process-identity.js'

/** machine.json */
export interface MachineState {
  readonly name: string
  /** Who started it. */
  readonly launcher: ProcessIdentity
  readonly qemu?: ProcessIdentity | undefined
  readonly virtiofsd: readonly ProcessIdentity[]
  readonly ready: boolean
  readonly cid?: number | undefined
  readonly tcpPort?: number | undefined
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
    qemuLog: join(directory, 'qemu.log'),
    initrd: join(directory, 'initrd.cpio'),
    control: join(directory, 'control.sock'),
    monitor: join(directory, 'qmp.sock'),
    clientKey: join(directory, 'id_ed25519'),
    knownHosts: join(directory, 'known_hosts'),
    sshConfig: join(directory, 'ssh_config'),
  }
}

/**
 * Makes the directory of a new machine. Throws UsageError for a name that cannot be one, and CpuError
 * ERR_CPU_VM_NAME_TAKEN while a machine of that name runs or starts.
 */
export async function createMachineDirectory(name: string): Promise<string> {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name)) {
    throw new UsageError(
      `invalid machine name ${JSON.stringify(name)}`,
      'use letters, digits, - and _, at most 63',
    )
  }
  await cleanStaleMachines()
  const directory = join(openRuntimeDirectory(), name)
  try {
    mkdirSync(directory, { mode: 0o700 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    throw new CpuError('ERR_CPU_VM_NAME_TAKEN', `a machine named ${name} runs already`, {
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

/** The state of a first moment, in which nothing runs but who starts it. */
export function initialState(name: string): MachineState {
  return { name, launcher: identifyProcess(process.pid)!, virtiofsd: [], ready: false }
}

/** Machines whose QEMU runs, or which are being started. */
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

/** Ends what runs and removes the directory. */
export async function removeMachine(directory: string): Promise<void> {
  const state = readState(directory)
  const processes = [...(state?.qemu === undefined ? [] : [state.qemu]), ...(state?.virtiofsd ?? [])]
  await endProcesses(processes)
  rmSync(directory, { recursive: true, force: true })
}

function isInUse(state: MachineState): boolean {
  return isAlive(state.launcher) || (state.qemu !== undefined && isAlive(state.qemu))
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
export function writeSshFiles(directory: string, keys: MachineKeys, addresses: readonly Address[]): void {
  const files = machineFiles(directory)
  writeFileSync(files.clientKey, keys.clientKey, { mode: 0o600 })
  writeFileSync(files.knownHosts, knownHosts(keys, addresses), { mode: 0o600 })
  writeFileSync(files.sshConfig, sshConfig(directory, addresses), { mode: 0o600 })
}

function knownHosts(keys: MachineKeys, addresses: readonly Address[]): string {
  return addresses.map(address => `${knownHostsName(address)} ${keys.hostPublicKey.trim()}\n`).join('')
}

/** ssh_config(5). The first address is the one that the name stands for. */
export function sshConfig(directory: string, addresses: readonly Address[]): string {
  const files = machineFiles(directory)
  const common = [
    'User root',
    `IdentityFile ${files.clientKey}`,
    'IdentitiesOnly yes',
    'IdentityAgent none',
    'ProxyJump none',
    `UserKnownHostsFile ${files.knownHosts}`,
    'StrictHostKeyChecking yes',
  ]
  const blocks = addresses.flatMap((address, index) => {
    if (address.net !== 'vsock' && address.net !== 'tcp') return []
    const host = address.net === 'vsock' ? `vsock/${address.cid}` : address.host
    const names = [...(index === 0 ? [basename(directory)] : []), ...(address.net === 'vsock' ? [host] : [])]
    if (names.length === 0) return []
    const lines = [`HostName ${host}`, `Port ${address.port}`, ...common]
    return [`Host ${names.join(' ')}\n${lines.map(line => `  ${line}\n`).join('')}`]
  })
  return blocks.join('\n')
}
