// Starts virtual machines with cpud in them, and stops them. The state is in the machine's directory, so that a
// machine can be stopped by whoever finds it, not only by who started it.

import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { CpuError } from '../src/errors.js'
import { runtimeDirectory } from '../src/runtime-directory.js'
import { freeCid, freePort } from './addresses.js'
import { type Attempt, type AttemptOptions, attemptBoot } from './boot-attempt.js'
import { openControlLine } from './control-line.js'
import {
  createMachineDirectory,
  generateKeys,
  initialState,
  machineFiles,
  readState,
  removeMachine,
  writeState,
} from './machine-directory.js'
import { MachineError } from './machine-error.js'
import { endProcesses, isAlive, waitForEnd } from './process-identity.js'
import { decide, type MachineOptions, type Settings, timed } from './settings.js'

export interface Machine extends AsyncDisposable {
  readonly name: string
  /** Its files: console.log, ssh_config and so on; removed by stop(). */
  readonly directory: string
  readonly cid: number | undefined
  /** On 127.0.0.1. */
  readonly tcpPort: number | undefined
  /** Type and base64, as in known_hosts. */
  readonly hostKey: string
  /** From QEMU's start to the guest's "ready". */
  readonly bootMs: number
  /** Resolves when QEMU has ended, for whatever reason, to a line that says why. */
  readonly exited: Promise<string>
  /** Switches the guest off, ends what still runs, and removes its files. May be called again. */
  stop(): Promise<void>
}

const CONTROL_LIMIT_MS = 1_000
const POWER_OFF_LIMIT_MS = 5_000
/** Attempts when addresses turn out to be taken. */
const COLLISION_LIMIT = 8

/**
 * Starts a machine and resolves when cpud in it is ready. On failure nothing is left behind. Throws UsageError,
 * CpuError (see `decide`, `findKernel`, `createMachineDirectory`) and MachineError.
 */
export async function startMachine(options: MachineOptions = {}): Promise<Machine> {
  options.signal?.throwIfAborted()
  const name = options.name ?? `m${randomBytes(3).toString('hex')}`
  const directory = await createMachineDirectory(name)
  try {
    const initial = initialState(name)
    writeState(directory, initial)
    const settings = await timed(options, 'checks', () => decide(options))
    const state = { ...initial, release: settings.kernel.release }
    const keys = generateKeys(name)
    const start = await bootUntilReady({
      directory,
      settings,
      options,
      keys,
      state,
      cid: undefined,
      tcpPort: undefined,
    })
    options.onStage?.('boot', start.bootMs)
    return machineHandle(directory, keys.hostPublicKey.trim(), start)
  } catch (error) {
    await removeMachine(directory)
    throw error
  }
}

/**
 * Stops a machine by name, started by whomever, and removes its files. Throws CpuError ERR_CPU_VM_UNKNOWN when there
 * is none.
 */
export async function stopMachine(name: string): Promise<void> {
  const directory = join(runtimeDirectory(), name)
  if (!/^[\w.-]+$/.test(name) || readState(directory) === undefined) {
    throw new CpuError('ERR_CPU_VM_UNKNOWN', `no machine named ${name}`, {
      remedy: 'cpu-vm list shows those that run',
    })
  }
  await shutDown(directory)
}

interface Start extends Attempt {
  readonly bootMs: number
}

/** Tries again with other addresses, once after a boot that died before the guest spoke, and once without KVM. */
async function bootUntilReady(base: AttemptOptions): Promise<Start> {
  const { options } = base
  let { settings } = base
  let nextCid = freeCid()
  let collisions = 0
  let flakes = 0
  for (;;) {
    const cid = settings.vsock ? nextCid : undefined
    const tcpPort = settings.tcp ? await freePort() : undefined
    const started = performance.now()
    try {
      const state = { ...base.state, accelerator: settings.accelerator }
      const attempt = await attemptBoot({ ...base, settings, state, cid, tcpPort })
      return { ...attempt, bootMs: performance.now() - started }
    } catch (error) {
      await endAttempt(base.directory)
      if (!(error instanceof MachineError)) throw error
      if (isCollision(error) && ++collisions < COLLISION_LIMIT) {
        nextCid = freeCid(nextCid + 1)
      } else if (isFlake(error, settings) && flakes++ === 0) {
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

/** Somebody else took the CID or the port between our look and QEMU's. */
function isCollision(error: MachineError): boolean {
  return (
    error.code === 'ERR_CPU_VM_QEMU' &&
    /unable to set guest cid: Address already in use|Could not set up host forwarding rule/.test(
      error.message,
    )
  )
}

async function endAttempt(directory: string): Promise<void> {
  const state = readState(directory)
  await endProcesses([...(state?.qemu === undefined ? [] : [state.qemu]), ...(state?.virtiofsd ?? [])])
}

function machineHandle(directory: string, hostKey: string, start: Start): Machine {
  const { state, qemu, bootMs } = start
  let stopping: Promise<void> | undefined
  const stop = () => {
    stopping ??= shutDown(directory)
    return stopping
  }
  const exited = qemu.ended.then(({ code, signal }) => {
    if (stopping !== undefined) return 'stopped'
    return signal === null ? `QEMU ended with exit code ${code}` : `QEMU was ended by ${signal}`
  })
  return {
    name: state.name,
    directory,
    cid: state.cid,
    tcpPort: state.tcpPort,
    hostKey,
    bootMs,
    exited,
    stop,
    [Symbol.asyncDispose]: stop,
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
