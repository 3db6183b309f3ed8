// One attempt to bring a machine up: virtiofsd, QEMU, and then the wait for the guest to say that it is ready, by a boot or
// from a snapshot; or to say that it can be kept as one.
// Panic, early end, silence and a share that died are told apart here; machine.ts decides what to try again.

import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { GuestConfig } from '../src/cpud/guest-config.js'
import { GUEST_CONFIG_PATH } from '../src/cpud/guest-config.js'
import { quoteLine } from '../src/ssh/quote.js'
import { type Address, DEFAULT_PORT, formatAddress } from '../src/transport/address.js'
import { qemuProgram } from './architecture.js'
import { consoleTail, panicLine } from './console-log.js'
import { type ControlLine, openControlLine } from './control-line.js'
import { startDaemon } from './daemon-process.js'
import * as devices from './devices.js'
import { ROOT_TAG } from './guest-root.js'
import { furtherModules, type GuestFiles, guestModulePath, machineImage } from './image.js'
import { keepGuest, rehearse } from './keep-guest.js'
import {
  generateKeys,
  type MachineKeys,
  type MachineState,
  machineFiles,
  writeSshFiles,
  writeState,
} from './machine-directory.js'
import { type MachineEnd, machineEnd } from './machine-end.js'
import { MachineError, type MachineErrorCode } from './machine-error.js'
import { loadState } from './migration.js'
import type { Images, MachineOptions, Settings } from './settings.js'
import type { Snapshot, SnapshotDraft } from './snapshot-store.js'
import { startVhostUserVsock, vhostUserVsockSockets } from './vhost-user-vsock.js'
import { shareSocket, startVirtiofsd, type Virtiofsd } from './virtiofsd.js'

const SEED_BYTES = 64
const QEMU_END_MS = 500

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
  for (const path of [files.consoleSocket, files.qemuLog, files.control, files.initrd])
    rmSync(path, { force: true })
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
  const parts = machineDevices(attempt)
  if (snapshot === undefined)
    await machineImage(attempt.images.baseImage, await guestFiles(attempt, parts), files.initrd)
  await attempt.draft?.clearMemory()
  const args = qemuArguments(attempt, parts)
  const command = qemuProgram(settings.kernel.architecture)
  writeFileSync(files.qemuLog, `${quoteLine([command, ...args])}\n`, { mode: 0o600 })
  options.signal?.throwIfAborted()
  const descriptors = attempt.vhostFd === undefined ? [] : [attempt.vhostFd]
  const qemu = await startDaemon({ command, args, logFile: files.qemuLog, descriptors, detached })
  save({ qemu: qemu.identity })
  const ended = machineEnd(directory, qemu, virtiofsds, vsock)
  const isKept = await awaitReady(attempt, ended)
  if (!isKept) save({ ready: true })
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
export function qemuArguments(
  attempt: Omit<AttemptOptions, 'keys' | 'state'>,
  parts: readonly devices.Device[] = machineDevices(attempt),
): string[] {
  const line = attempt.snapshot === undefined ? devices.commandLine : devices.resumeCommandLine
  return [...line(parts), ...(attempt.options.qemuArgs ?? [])]
}

/** Where cpud of the machine can be reached; the first is the one that its name stands for. */
export function machineAddresses(
  attempt: Pick<AttemptOptions, 'directory' | 'settings' | 'cid' | 'tcpPort'>,
): Address[] {
  const { directory, settings, cid, tcpPort } = attempt
  const vsock: Address[] = cid === undefined ? [] : [{ net: 'vsock', cid, port: DEFAULT_PORT }]
  const tcp: Address[] =
    tcpPort === undefined ? [] : [{ net: 'tcp', host: '127.0.0.1', port: tcpPort, family: 4 }]
  const { guest } = vhostUserVsockSockets(directory)
  const mux: Address[] =
    settings.vhostUserVsock === undefined ? [] : [{ net: 'unix-vsock', path: guest, port: DEFAULT_PORT }]
  const serial: Address[] = settings.serial ? [{ net: 'serial', path: machineFiles(directory).serial }] : []
  return [...vsock, ...mux, ...tcp, ...serial]
}

/** All that it is made of. */
export function machineDevices({
  directory,
  settings,
  images,
  options,
  cid,
  tcpPort,
  snapshot,
  draft,
}: Omit<AttemptOptions, 'keys' | 'state'>): devices.Device[] {
  const files = machineFiles(directory)
  const { machine, memoryMiB, cpus, kernel, vhostUserVsock } = settings
  const sharedMemory = settings.shares.length > 0 || vhostUserVsock !== undefined
  return [
    devices.board({ machine, memoryMiB, cpus, sharedMemory, memoryFile: memoryFile({ snapshot, draft }) }),
    devices.acceleration(settings.accelerator, kernel.architecture),
    devices.serialConsole({ machine, log: files.console, socket: files.consoleSocket }),
    devices.controlLine(files.control, machine),
    devices.monitor(files.monitor),
    vsockDevice(directory, cid, vhostUserVsock !== undefined),
    ...(settings.serial ? [devices.serialPorts({ directory: files.serial })] : []),
    ...(tcpPort === undefined ? [] : [devices.userNetwork({ hostPort: tcpPort, guestPort: DEFAULT_PORT })]),
    ...settings.shares.map((share, index) =>
      devices.share({ index, tag: share.tag, socket: shareSocket(directory, share) }),
    ),
    ...(settings.root?.type === '9p' ? [devices.ninePRoot({ ...settings.root, tag: ROOT_TAG })] : []),
    ...settings.disks.map((disk, index) => devices.disk({ ...disk, index })),
    ...(options.gdb ? [devices.debuggerStub(files.gdb)] : []),
    ...(options.debug ? [devices.humanMonitor(files.humanMonitor)] : []),
    ...(settings.nested ? [devices.nested()] : []),
    devices.modules(options.extraModules ?? []),
    ...(options.devices ?? []),
    // Last, since -append may end in words for process 1.
    ...(snapshot === undefined
      ? [devices.boot({ image: images.bootImage, initrd: files.initrd, append: settings.append })]
      : []),
  ]
}

function vsockDevice(directory: string, cid: number | undefined, isVhostUser: boolean): devices.Device {
  if (isVhostUser) return devices.vhostUserVsock({ socket: vhostUserVsockSockets(directory).device })
  return cid === undefined ? devices.vsockLoopback() : devices.vsock({ cid })
}

function memoryFile({ snapshot, draft }: Pick<AttemptOptions, 'snapshot' | 'draft'>) {
  if (snapshot !== undefined) return { path: snapshot.memory, keeps: false }
  return draft && { path: draft.memory, keeps: true }
}

/** What guests of this kind have that the base image has not. */
export async function guestFiles(
  { settings, cid, tcpPort }: AttemptOptions,
  parts: readonly devices.Device[],
): Promise<GuestFiles> {
  const { kernel, tree } = settings
  const { files: modules } = await tree.plan(devices.wantedModules(parts))
  const { vsock } = kernel.features
  const hasVsock = cid !== undefined || settings.vhostUserVsock !== undefined
  const listensOnVsock = vsock === 'unknown' ? hasVsock : vsock !== 'absent'
  const config: GuestConfig = {
    listen: [
      ...(tcpPort === undefined ? [] : [{ net: 'tcp', port: DEFAULT_PORT } as const]),
      ...(listensOnVsock ? [{ net: 'vsock', port: DEFAULT_PORT } as const] : []),
      ...(settings.serial ? [{ net: 'serial', name: devices.SERIAL_PORT_PREFIX } as const] : []),
    ],
    modules: modules.map(({ name }) => guestModulePath(kernel.release, name)),
    control: devices.controlDevice(settings.machine),
    ...(settings.root === undefined ? {} : { root: { type: settings.root.type, tag: ROOT_TAG } }),
    ...(tcpPort === undefined ? {} : { network: devices.USER_NETWORK }),
  }
  return { [GUEST_CONFIG_PATH]: JSON.stringify(config), ...(await furtherModules(kernel, tree, modules)) }
}

/** Tells the guest who it is, and those who come to it. */
function introduce(line: ControlLine, attempt: AttemptOptions, keys: MachineKeys): void {
  const { architecture } = attempt.settings.kernel
  writeSshFiles(attempt.directory, keys, machineAddresses(attempt), architecture)
  line.introduce({
    hostname: attempt.state.name,
    authorizedKeys: `${keys.clientPublicKey.trim()}\n`,
    hostKey: keys.hostKey,
    seed: randomBytes(SEED_BYTES).toString('base64'),
  })
}

const END_CODES = {
  panic: 'ERR_CPU_VM_PANIC',
  off: 'ERR_CPU_VM_EXITED',
  qemu: 'ERR_CPU_VM_QEMU',
  virtiofsd: 'ERR_CPU_VM_SHARE',
  'vhost-device-vsock': 'ERR_CPU_VM_VSOCK',
} as const

/** The first of: ready, kept (true), the guest's own failure, an end of QEMU or virtiofsd, silence, abort. */
async function awaitReady(attempt: AttemptOptions, ended: Promise<MachineEnd>): Promise<boolean> {
  const { directory, settings, options, keys, state, snapshot, draft } = attempt
  const files = machineFiles(directory)
  let guestSpoke = false
  const fail = (code: MachineErrorCode, message: string, remedy?: string) =>
    new MachineError(code, message, { consoleTail: consoleTail(files.console), guestSpoke, remedy })

  const diedEarly = ended.then(({ kind, message }): never => {
    if (kind === 'stopped') throw new Error('the machine was stopped')
    throw fail(END_CODES[kind], kind === 'off' ? `${message} before it was ready` : message)
  })
  const cancel = new AbortController()
  const limit = deadline(settings.timeoutMs, options.signal, cancel.signal).then((): never => {
    const panic = panicLine(files.console)
    if (panic !== undefined) throw fail('ERR_CPU_VM_PANIC', `the guest's kernel panicked: ${panic}`)
    const seconds = settings.timeoutMs / 1000
    const stage = guestSpoke ? 'cpud came up there and got no further' : 'its cpud did not come up'
    throw fail(
      'ERR_CPU_VM_TIMEOUT',
      `the guest is not ready after ${seconds} s: ${stage}`,
      'give it more with -boot-timeout',
    )
  })
  let line: ControlLine | undefined
  const guestReady = async () => {
    line = await openControlLine(files.control, settings.timeoutMs, cancel.signal)
    if (snapshot !== undefined) {
      // The end of QEMU says more.
      await loadState(files, snapshot.state, cancel.signal).catch(error =>
        Promise.race([diedEarly, sleep(QEMU_END_MS).then(() => Promise.reject(error))]),
      )
      introduce(line, attempt, keys)
    }
    // What is done for the first time takes much longer, and in a copy of this guest it would be the first time.
    let isRehearsed = draft === undefined
    for await (const told of line.events()) {
      guestSpoke = true
      // QEMU has read it by now, and nobody else needs it.
      rmSync(files.initrd, { force: true })
      if (told.event === 'waiting') {
        if (draft !== undefined && isRehearsed && (await keepGuest(attempt, draft))) return true
        introduce(line, attempt, isRehearsed ? keys : generateKeys(state.name))
      }
      if (told.event === 'clock') line.tellTime()
      if (told.event === 'ready') {
        if (isRehearsed) return false
        isRehearsed = true
        await rehearse(attempt, cancel.signal)
        line.requestForget()
      }
      if (told.event === 'warning') options.onMessage?.(`guest: ${told.message}`)
      if (told.event === 'failed')
        throw fail('ERR_CPU_VM_GUEST', `the guest cannot be set up: ${told.message}`)
    }
    // The line ends with QEMU, whose end says more.
    return new Promise<never>(() => undefined)
  }
  try {
    return await Promise.race([guestReady(), diedEarly, limit])
  } finally {
    cancel.abort()
    line?.close()
    for (const ending of [diedEarly, limit]) ending.catch(() => undefined)
  }
}

/** Resolves after `ms`, or when cancelled never; rejects with the signal's reason on abort. */
function deadline(ms: number, signal: AbortSignal | undefined, cancel: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal?.reason)
    const timer = setTimeout(resolve, ms)
    if (signal?.aborted) onAbort()
    signal?.addEventListener('abort', onAbort, { once: true })
    cancel.addEventListener('abort', () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    })
  })
}
