// One attempt to bring a machine up: virtiofsd, QEMU, and then the wait for the guest to say that it is ready.
// Panic, early end, silence and a share that died are told apart here; machine.ts decides what to try again.

import { rmSync, writeFileSync } from 'node:fs'
import type { GuestConfig } from '../src/cpud/guest-config.js'
import { GUEST_CONFIG_PATH } from '../src/cpud/guest-config.js'
import { type Address, DEFAULT_PORT } from '../src/transport/address.js'
import { consoleTail, panicLine } from './console-log.js'
import { type ControlLine, openControlLine } from './control-line.js'
import { type Daemon, lastLine, startDaemon } from './daemon-process.js'
import * as devices from './devices.js'
import { guestModulePath, machineImage } from './image.js'
import {
  type MachineKeys,
  type MachineState,
  machineFiles,
  writeSshFiles,
  writeState,
} from './machine-directory.js'
import { MachineError, type MachineErrorCode } from './machine-error.js'
import { QEMU } from './probe.js'
import type { MachineOptions, Settings } from './settings.js'
import { startVirtiofsd, type Virtiofsd } from './virtiofsd.js'

export interface AttemptOptions {
  readonly directory: string
  readonly settings: Settings
  readonly options: MachineOptions
  readonly keys: MachineKeys
  /** The state of the machine before anything runs. */
  readonly state: MachineState
  readonly cid: number | undefined
  readonly tcpPort: number | undefined
}

export interface Attempt {
  readonly state: MachineState
  readonly qemu: Daemon
  readonly virtiofsds: readonly Virtiofsd[]
}

/** Resolves when the guest is ready. Throws MachineError; what was started is in the state on disk either way. */
export async function attemptBoot(attempt: AttemptOptions): Promise<Attempt> {
  const { directory, settings, options, keys } = attempt
  const files = machineFiles(directory)
  for (const path of [files.console, files.qemuLog, files.control, files.initrd])
    rmSync(path, { force: true })
  const addresses = machineAddresses(attempt)
  writeSshFiles(directory, keys, addresses)

  let state: MachineState = { ...attempt.state, cid: attempt.cid, tcpPort: attempt.tcpPort, virtiofsd: [] }
  const save = (change: Partial<MachineState>) => {
    state = { ...state, ...change }
    writeState(directory, state)
  }
  const virtiofsds: Virtiofsd[] = []
  for (const share of settings.shares) {
    const shared = { ...settings.virtiofsd!, share, directory, detached: options.detached ?? false }
    virtiofsds.push(await startVirtiofsd(shared))
    save({ virtiofsd: virtiofsds.map(({ daemon }) => daemon.identity) })
  }
  const parts = machineDevices(attempt, virtiofsds)
  await machineImage(settings.baseImage, await guestFiles(attempt, parts), files.initrd)
  const args = devices.commandLine(parts)
  writeFileSync(files.qemuLog, `${[QEMU, ...args].join(' ')}\n`, { mode: 0o600 })
  options.signal?.throwIfAborted()
  const detached = options.detached ?? false
  const qemu = await startDaemon({ command: QEMU, args, logFile: files.qemuLog, detached })
  save({ qemu: qemu.identity })
  await awaitReady(attempt, qemu, virtiofsds)
  save({ ready: true })
  return { state, qemu, virtiofsds }
}

/** Where cpud of the machine can be reached; the first is the one that its name stands for. */
export function machineAddresses({ cid, tcpPort }: Pick<AttemptOptions, 'cid' | 'tcpPort'>): Address[] {
  const vsock: Address[] = cid === undefined ? [] : [{ net: 'vsock', cid, port: DEFAULT_PORT }]
  const tcp: Address[] =
    tcpPort === undefined ? [] : [{ net: 'tcp', host: '127.0.0.1', port: tcpPort, family: 4 }]
  return [...vsock, ...tcp]
}

function machineDevices(attempt: AttemptOptions, virtiofsds: readonly Virtiofsd[]): devices.Device[] {
  const { directory, settings, options, cid, tcpPort } = attempt
  const files = machineFiles(directory)
  const { memoryMiB, cpus } = settings
  return [
    devices.board({ memoryMiB, cpus, sharedMemory: virtiofsds.length > 0 }),
    devices.acceleration(settings.accelerator),
    devices.boot({ image: settings.bootImage, initrd: files.initrd, append: settings.append }),
    devices.consoleLog(files.console),
    devices.controlLine(files.control),
    devices.monitor(files.monitor),
    cid === undefined ? devices.vsockLoopback() : devices.vsock({ cid }),
    ...(tcpPort === undefined ? [] : [devices.userNetwork({ hostPort: tcpPort, guestPort: DEFAULT_PORT })]),
    ...virtiofsds.map(({ share, socket }, index) => devices.share({ index, tag: share.tag, socket })),
    ...(settings.nested ? [devices.nested()] : []),
    ...(options.devices ?? []),
  ]
}

/** What this guest has that the base image has not. */
async function guestFiles(
  { settings, keys, state, tcpPort }: AttemptOptions,
  parts: readonly devices.Device[],
): Promise<Record<string, string>> {
  const { files: modules } = await settings.tree.plan(devices.wantedModules(parts))
  const config: GuestConfig = {
    hostname: state.name,
    authorizedKeys: `${keys.clientPublicKey.trim()}\n`,
    hostKey: keys.hostKey,
    listen: [
      ...(tcpPort === undefined ? [] : [{ net: 'tcp', port: DEFAULT_PORT } as const]),
      ...(settings.kernel.features.vsock === 'absent' ? [] : [{ net: 'vsock', port: DEFAULT_PORT } as const]),
    ],
    modules: modules.map(({ name }) => guestModulePath(name)),
    control: devices.CONTROL_DEVICE,
    ...(tcpPort === undefined ? {} : { network: devices.USER_NETWORK }),
  }
  return { [GUEST_CONFIG_PATH]: JSON.stringify(config) }
}

/** The first of: ready, the guest's own failure, an end of QEMU or virtiofsd, silence, abort. */
async function awaitReady(
  attempt: AttemptOptions,
  qemu: Daemon,
  virtiofsds: readonly Virtiofsd[],
): Promise<void> {
  const { directory, settings, options } = attempt
  const files = machineFiles(directory)
  let guestSpoke = false
  const fail = (code: MachineErrorCode, message: string, remedy?: string) =>
    new MachineError(code, message, { consoleTail: consoleTail(files.console), guestSpoke, remedy })

  const qemuEnd = qemu.ended.then(({ code, signal }) => {
    const panic = panicLine(files.console)
    if (panic !== undefined) throw fail('ERR_CPU_VM_PANIC', `the guest's kernel panicked: ${panic}`)
    const said = lastLine(files.qemuLog, / info: /)?.replace(`${QEMU}: `, '')
    if (code !== 0) throw fail('ERR_CPU_VM_QEMU', `QEMU ended with ${signal ?? `exit code ${code}`}: ${said}`)
    throw fail('ERR_CPU_VM_EXITED', 'the guest switched itself off before it was ready')
  })
  const shareEnds = virtiofsds.map(async ({ daemon, share, logFile }) => {
    await daemon.ended
    const said = lastLine(logFile) ?? 'it said nothing'
    throw fail('ERR_CPU_VM_SHARE', `virtiofsd for share ${share.tag} ended: ${said}`)
  })
  const cancel = new AbortController()
  const limit = deadline(settings.timeoutMs, options.signal, cancel.signal).then(() => {
    const panic = panicLine(files.console)
    if (panic !== undefined) throw fail('ERR_CPU_VM_PANIC', `the guest's kernel panicked: ${panic}`)
    const seconds = settings.timeoutMs / 1000
    const stage = guestSpoke ? 'cpud came up there and got no further' : 'its cpud did not come up'
    throw fail(
      'ERR_CPU_VM_TIMEOUT',
      `the guest is not ready after ${seconds} s: ${stage}`,
      'give it more with -timeout',
    )
  })
  let line: ControlLine | undefined
  const guestReady = async () => {
    line = await openControlLine(files.control, settings.timeoutMs, cancel.signal)
    for await (const told of line.events()) {
      guestSpoke = true
      // QEMU has read it by now, and nobody else needs it: there is a key in it.
      rmSync(files.initrd, { force: true })
      if (told.event === 'booting') line.tellTime()
      if (told.event === 'ready') return
      if (told.event === 'warning') options.onMessage?.(`guest: ${told.message}`)
      if (told.event === 'failed')
        throw fail('ERR_CPU_VM_GUEST', `the guest cannot be set up: ${told.message}`)
    }
    // The line ends with QEMU, whose end says more.
    await new Promise(() => undefined)
  }
  try {
    await Promise.race([guestReady(), qemuEnd, limit, ...shareEnds])
  } finally {
    cancel.abort()
    line?.close()
    for (const ending of [qemuEnd, limit, ...shareEnds]) ending.catch(() => undefined)
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
