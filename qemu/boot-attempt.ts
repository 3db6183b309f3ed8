// One attempt to bring a machine up: virtiofsd, QEMU, and then the wait for the guest. machine.ts decides what to try again.

import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { quoteLine } from '../src/ssh/quote.js'
import { formatAddress } from '../src/transport/address.js'
import { qemuProgram } from './architecture.js'
import { awaitReady } from './await-ready.js'
import { startDaemon } from './daemon-process.js'
import * as devices from './devices.js'
import type { Images } from './images.js'
import { bootDevice, machineAddresses, machineDevices } from './machine-devices.js'
import { type MachineKeys, type MachineState, machineFiles, writeState } from './machine-directory.js'
import { type MachineEnd, machineEnd } from './machine-end.js'
import type { MachineOptions, Settings } from './settings.js'
import type { Snapshot, SnapshotDraft } from './snapshot-store.js'
import { startVhostUserVsock } from './vhost-user-vsock.js'
import { startVirtiofsd, type Virtiofsd } from './virtiofsd.js'

export interface AttemptOptions {
  readonly directory: string
  readonly settings: Settings
  readonly images: Images
  readonly options: MachineOptions
  readonly keys: MachineKeys
  /** The state of the machine before anything runs. */
  readonly state: MachineState
  readonly cid: number | undefined
  /** Of /dev/vhost-vsock, with the CID set; the caller closes it. */
  readonly vhostFd?: number | undefined
  readonly tcpPort: number | undefined
  /** What the machine goes on from. */
  readonly snapshot?: Snapshot | undefined
  /** What it is to be kept in before it is anybody. */
  readonly draft?: SnapshotDraft | undefined
}

export interface Attempt {
  readonly state: MachineState
  readonly ended: Promise<MachineEnd>
  /** It has been written to the draft instead, and stands still. */
  readonly isKept: boolean
}

/** Resolves when the guest is ready, or kept. Throws MachineError; what was started is in the state on disk either way. */
export async function attemptBoot(attempt: AttemptOptions): Promise<Attempt> {
  const { directory, settings, options, snapshot } = attempt
  const files = machineFiles(directory)
  for (const path of [files.consoleSocket, files.qemuLog, files.control]) rmSync(path, { force: true })
  writeFileSync(files.console, snapshot?.console ?? '', { mode: 0o600 })
  const { cid, tcpPort } = attempt
  const reached = { cid, tcpPort, addresses: machineAddresses(attempt).map(formatAddress) }
  let state: MachineState = { ...attempt.state, ...reached, virtiofsd: [], vhostUserVsock: undefined }
  const save = (change: Partial<MachineState>) => {
    state = { ...state, ...change }
    writeState(directory, state)
  }
  const virtiofsds: Virtiofsd[] = []
  for (const share of settings.shares) {
    const shared = { ...settings.virtiofsd!, share, directory, detached: isDetached(options) }
    virtiofsds.push(await startVirtiofsd(shared))
    save({ virtiofsd: virtiofsds.map(({ daemon }) => daemon.identity) })
  }
  const detached = isDetached(options)
  const program = settings.vhostUserVsock
  const vsock =
    program === undefined ? undefined : await startVhostUserVsock({ program, directory, detached })
  if (vsock !== undefined) save({ vhostUserVsock: vsock.daemon.identity })
  if (settings.serial) makePortDirectory(files.serial)
  await attempt.draft?.clearMemory()
  const args = qemuArguments(attempt)
  const command = qemuProgram(settings.kernel.architecture)
  writeFileSync(files.qemuLog, `${quoteLine([command, ...args])}\n`, { mode: 0o600 })
  options.signal?.throwIfAborted()
  const descriptors = attempt.vhostFd === undefined ? [] : [attempt.vhostFd]
  const qemu = await startDaemon({ command, args, logFile: files.qemuLog, descriptors, detached })
  save({ qemu: qemu.identity })
  const ended = machineEnd(directory, qemu, virtiofsds, vsock)
  const isKept = await awaitReady(attempt, ended)
  if (!isKept) {
    save({ ready: true })
    // Where it is not the cache's, nobody needs it any more.
    rmSync(files.initrd, { force: true })
  }
  return { state, ended, isKept }
}

/** With the file of locks that says which port is taken. */
function makePortDirectory(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  writeFileSync(join(directory, 'lock'), '', { mode: 0o600 })
}

/** What is kept must not end with us. */
function isDetached({ detached, keep }: MachineOptions): boolean {
  return detached === true || keep === true
}

/** All of QEMU's; nothing is started. */
export function qemuArguments(attempt: Omit<AttemptOptions, 'keys' | 'state'>): string[] {
  const parts = machineDevices(attempt)
  const isResumed = attempt.snapshot !== undefined
  // What is booted comes last, since -append may end in words for process 1.
  const line = isResumed
    ? devices.resumeCommandLine(parts)
    : devices.commandLine([...parts, bootDevice(attempt)])
  return [...line, ...(attempt.options.qemuArgs ?? [])]
}
