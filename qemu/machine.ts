// Starts virtual machines with cpud in them, and stops them. The state is in the machine's directory, so that a
// machine can be stopped by whoever finds it, not only by who started it.

import { randomBytes } from 'node:crypto'
import type { KernelLogReport } from '../src/cpud/guest-control.js'
import { freePort, reserveCid } from './addresses.js'
import { findQemu } from './architecture.js'
import { type AttemptOptions, attemptBoot } from './boot-attempt.js'
import type {
  BufferOptions,
  CommandResult,
  MachineCommand,
  RunOptions,
  SpawnOptions,
} from './command-options.js'
import { openControlLine } from './control-line.js'
import type { Accelerator } from './devices.js'
import { prepareImages, removeDamagedImages } from './images.js'
import { KernelLogReaders } from './kernel-log-readers.js'
import { runCommand, spawnCommand } from './machine-command.js'
import {
  createMachineDirectory,
  endMachine,
  findMachine,
  generateKeys,
  initialState,
  type MachineState,
  machineFiles,
  readState,
  removeMachine,
} from './machine-directory.js'
import type { MachineEnd } from './machine-end.js'
import { MachineError } from './machine-error.js'
import { isAlive, waitForEnd } from './process-identity.js'
import { decide, type MachineOptions, type Settings, timed } from './settings.js'
import { consoleFindings } from './verdict.js'
import { type Start, startWarm } from './warm-start.js'

export interface Machine extends AsyncDisposable {
  readonly name: string
  /** Its files: console.log, ssh_config and so on; removed by close(). */
  readonly directory: string
  readonly cid: number | undefined
  /** On 127.0.0.1. */
  readonly tcpPort: number | undefined
  /** By all transports, as messages show them; the first is the one that its name stands for. */
  readonly addresses: readonly string[]
  /** Type and base64, as in known_hosts. */
  readonly hostKey: string
  /** From QEMU's start to the guest's "ready". */
  readonly bootMs: number
  readonly accelerator: Accelerator
  /** Whether it went on from a snapshot, and has not been booted. */
  readonly restored: boolean
  /** Resolves when QEMU or a virtiofsd has ended, for whatever reason. */
  readonly exited: Promise<MachineEnd>
  /**
   * What the guest's kernel logged since the guest was ready, or since the last call; undefined where the guest does not
   * answer within `limitMs`.
   */
  kernelLog(limitMs: number): Promise<KernelLogReport | undefined>
  /**
   * Runs a command in it, with this machine's files, and resolves when it has ended by itself, with whatever exit code.
   * Rejects with CommandError for all that is no such end: a panic, an oops, a lost connection, the time limit and others,
   * each with its code; with UsageError and CpuError where it cannot be run; with the reason of an aborted signal.
   */
  run(argv: readonly string[], options?: RunOptions<BufferEncoding>): Promise<CommandResult<string>>
  run(argv: readonly string[], options: BufferOptions): Promise<CommandResult<Buffer>>
  /** The same, while it runs: its streams, and `ended`. Never throws. */
  spawn(argv: readonly string[], options?: SpawnOptions): MachineCommand
  /** Switches the guest off, ends what still runs, and removes its files. May be called again. */
  close(): Promise<void>
}

const CONTROL_LIMIT_MS = 1_000
const POWER_OFF_LIMIT_MS = 5_000
/** Attempts when ports turn out to be taken. */
const COLLISION_LIMIT = 8

/**
 * Starts a machine and resolves when cpud in it is ready. On failure nothing is left behind. Throws UsageError,
 * CpuError (see `decide`, `findKernel`, `createMachineDirectory`) and MachineError.
 */
export async function startMachine(options: MachineOptions = {}): Promise<Machine> {
  options.signal?.throwIfAborted()
  const name = options.name ?? freeName()
  const initial: MachineState = { ...initialState(name), ...(options.keep ? { kept: true } : {}) }
  const directory = await createMachineDirectory(name, initial)
  try {
    const settings = await timed(options, 'checks', () => decide(options))
    options.onDecided?.(settings)
    // Before what it would boot is made.
    findQemu(settings.kernel.architecture)
    const images = await prepareImages(settings, options, directory)
    const state = { ...initial, release: settings.kernel.release, root: settings.root?.type }
    const keys = generateKeys(name)
    const addresses = { cid: undefined, tcpPort: undefined }
    const base = { directory, settings, images, options, keys, state, ...addresses }
    const start = await startWarm(base, bootUntilReady)
    return machineHandle(base, start)
  } catch (error) {
    await endMachine(directory)
    options.onFailed?.(directory)
    if (!options.keep) await removeMachine(directory)
    throw error
  }
}

/** For a machine that nobody has named. */
export function freeName(): string {
  return `m${randomBytes(3).toString('hex')}`
}

/**
 * Stops a machine by name, started by whomever, and removes its files. Throws CpuError ERR_CPU_VM_UNKNOWN when there
 * is none.
 */
export async function stopMachine(name: string): Promise<void> {
  await shutDown(findMachine(name).directory)
}

/**
 * Tries again with another port; and, when the guest died before it spoke, once with images made anew where those in
 * the cache are damaged, and once as a flake, without KVM if that was our choice.
 */
async function bootUntilReady(base: AttemptOptions): Promise<Start> {
  const { options } = base
  const { snapshot } = base
  let { settings, images, draft } = base
  let collisions = 0
  let flakes = 0
  let repairs = 0
  for (;;) {
    // One for each attempt: the kernel keeps a device for the first process that has used it.
    using vsock = settings.vsock ? reserveCid() : undefined
    const tcpPort = settings.tcp ? await freePort() : undefined
    const started = performance.now()
    try {
      const state = { ...base.state, accelerator: settings.accelerator }
      const addresses = { cid: vsock?.cid, vhostFd: vsock?.fd, tcpPort }
      const attempt = await attemptBoot({ ...base, settings, images, state, ...addresses, draft })
      const bootMs = performance.now() - started
      options.onStage?.(snapshot === undefined ? 'boot' : 'restore', bootMs)
      return { ...attempt, bootMs, isRestored: snapshot !== undefined }
    } catch (error) {
      await endMachine(base.directory)
      if (!(error instanceof MachineError)) throw error
      if (isCollision(error) && ++collisions < COLLISION_LIMIT) continue
      if (snapshot !== undefined) throw error
      const roomIsGone = draft !== undefined && error.message.includes('SIGBUS')
      // A machine that came up only at the second attempt is none to keep.
      draft = undefined
      if (roomIsGone) {
        options.onMessage?.(`booting again without a snapshot, for which there is no room: ${error.message}`)
      } else if (!error.guestSpoke && repairs++ === 0 && (await removeDamagedImages(images))) {
        options.onMessage?.(`what is booted was damaged in the cache, and is made again: ${error.message}`)
        images = await prepareImages(settings, options, base.directory)
      } else if (isFlake(error, settings) && flakes++ === 0) {
        options.onFlake?.(error.message)
        settings = withoutKvm(settings)
        const how = settings.accelerator === base.settings.accelerator ? '' : ' with TCG'
        options.onMessage?.(`boot flake, tried again${how}: ${error.message}`)
      } else {
        throw error
      }
    }
  }
}

/** Not the guest's fault: it had not said anything, and QEMU had understood its command line. */
function isFlake(error: MachineError, settings: Settings): boolean {
  if (error.guestSpoke) return false
  if (error.code === 'ERR_CPU_VM_PANIC' || error.code === 'ERR_CPU_VM_EXITED') return true
  const ranAtAll = error.consoleTail.length > 0
  const brokenKvm = settings.accelerator === 'kvm' && settings.acceleratorOpen
  return error.code === 'ERR_CPU_VM_QEMU' && (ranAtAll || brokenKvm)
}

function withoutKvm(settings: Settings): Settings {
  return settings.acceleratorOpen ? { ...settings, accelerator: 'tcg' } : settings
}

/** Somebody else took the port between our look and QEMU's. */
function isCollision(error: MachineError): boolean {
  return error.code === 'ERR_CPU_VM_QEMU' && /Could not set up host forwarding rule/.test(error.message)
}

function machineHandle({ directory, keys, settings, options }: AttemptOptions, start: Start): Machine {
  const { state, ended, bootMs } = start
  let stopping: Promise<void> | undefined
  const close = () => {
    stopping ??= shutDown(directory)
    return stopping
  }
  const exited = ended.then(
    (end): MachineEnd => (stopping === undefined ? end : { kind: 'stopped', message: 'stopped' }),
  )
  const { name, cid, tcpPort, addresses = [] } = state
  const machine = { name, directory, cid, tcpPort, addresses, exited }
  const kernelLog = new KernelLogReaders(limitMs => askKernelLog(directory, limitMs))
  const host = { machine, kernelLog, atBoot: consoleFindings(machine), signal: options.signal }
  return {
    ...machine,
    hostKey: keys.hostPublicKey.trim(),
    bootMs,
    restored: start.isRestored,
    accelerator: state.accelerator ?? settings.accelerator,
    kernelLog: kernelLog.open().read,
    run: ((argv, commandOptions = {}) => runCommand(host, argv, commandOptions)) as Machine['run'],
    spawn: (argv, commandOptions = {}) => spawnCommand(host, argv, commandOptions),
    close,
    [Symbol.asyncDispose]: close,
  }
}

async function askKernelLog(directory: string, limitMs: number): Promise<KernelLogReport | undefined> {
  const signal = AbortSignal.timeout(limitMs)
  const line = await openControlLine(machineFiles(directory).control, limitMs, signal).catch(() => undefined)
  try {
    return await line?.kernelLog(signal)
  } catch {
    return undefined
  } finally {
    line?.close()
  }
}

/** Asks the guest first: it ends sessions and unmounts. What does not go is ended. */
async function shutDown(directory: string): Promise<void> {
  const state = readState(directory)
  const { qemu } = state ?? {}
  if (qemu !== undefined && state?.ready && isAlive(qemu)) {
    const line = await openControlLine(machineFiles(directory).control, CONTROL_LIMIT_MS).catch(
      () => undefined,
    )
    line?.requestPowerOff()
    if (line !== undefined) await waitForEnd([qemu], POWER_OFF_LIMIT_MS)
    line?.close()
  }
  await removeMachine(directory)
}
