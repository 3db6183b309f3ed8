// The wait for a guest that has been started: until it is ready, or can be kept as a snapshot. Panic, early end, silence and a
// share that died are told apart here.

import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AttemptOptions } from './boot-attempt.js'
import { consoleTail, panicLine } from './console-log.js'
import { type ControlLine, openControlLine } from './control-line.js'
import { keepGuest, rehearse } from './keep-guest.js'
import { machineAddresses } from './machine-devices.js'
import { generateKeys, type MachineKeys, machineFiles, writeSshFiles } from './machine-directory.js'
import type { MachineEnd } from './machine-end.js'
import { END_CODES, MachineError, type MachineErrorCode } from './machine-error.js'
import { loadState } from './migration.js'

const SEED_BYTES = 64
const QEMU_END_MS = 500

/**
 * The first of: ready, kept (true), the guest's own failure, an end of QEMU or virtiofsd, silence, abort. Throws
 * MachineError, or the reason of the abort.
 */
export async function awaitReady(attempt: AttemptOptions, ended: Promise<MachineEnd>): Promise<boolean> {
  const guest = new StartingGuest(attempt)
  const cancel = new AbortController()
  const failures = [guest.failWithEnd(ended), guest.failInTime(cancel.signal)]
  try {
    return await Promise.race([guest.listen(failures[0]!, cancel.signal), ...failures])
  } finally {
    cancel.abort()
    guest.close()
    for (const failure of failures) failure.catch(() => undefined)
  }
}

class StartingGuest {
  readonly #attempt: AttemptOptions
  readonly #files: ReturnType<typeof machineFiles>
  #line: ControlLine | undefined
  #hasSpoken = false
  /** What is done for the first time takes much longer, and in a copy of this guest it would be the first time. */
  #isRehearsed: boolean

  constructor(attempt: AttemptOptions) {
    this.#attempt = attempt
    this.#files = machineFiles(attempt.directory)
    this.#isRehearsed = attempt.draft === undefined
  }

  close(): void {
    this.#line?.close()
  }

  async failWithEnd(ended: Promise<MachineEnd>): Promise<never> {
    const { kind, message } = await ended
    if (kind === 'stopped') throw new Error('the machine was stopped')
    throw this.#failure(END_CODES[kind], kind === 'guest' ? `${message} before it was ready` : message)
  }

  /** Never settles once `over` is aborted. */
  async failInTime(over: AbortSignal): Promise<never> {
    const { settings, options } = this.#attempt
    await deadline(settings.timeoutMs, options.signal, over)
    const panic = panicLine(this.#files.console)
    if (panic !== undefined) throw this.#failure('ERR_CPU_VM_PANIC', `the guest's kernel panicked: ${panic}`)
    const seconds = settings.timeoutMs / 1000
    const stage = this.#hasSpoken ? 'cpud came up there and got no further' : 'its cpud did not come up'
    throw this.#failure(
      'ERR_CPU_VM_TIMEOUT',
      `the guest is not ready after ${seconds} s: ${stage}`,
      'give it more with -boot-timeout',
    )
  }

  /** Resolves when it is ready; to whether it is kept. `died` rejects when QEMU ends, which says more than what follows from it. */
  async listen(died: Promise<never>, over: AbortSignal): Promise<boolean> {
    const { settings, snapshot, keys } = this.#attempt
    const line = await openControlLine(this.#files.control, settings.timeoutMs, over)
    this.#line = line
    if (snapshot !== undefined) {
      await loadState(this.#files, snapshot.state, over).catch(error =>
        Promise.race([died, sleep(QEMU_END_MS).then(() => Promise.reject(error))]),
      )
      this.#introduce(line, keys)
    }
    for await (const told of line.events()) {
      this.#hasSpoken = true
      if (told.event === 'waiting' && (await this.#keepOrIntroduce(line))) return true
      if (told.event === 'clock') line.tellTime()
      if (told.event === 'ready') {
        if (this.#isRehearsed) return false
        await this.#rehearse(line, over)
      }
      if (told.event === 'warning') this.#attempt.options.onMessage?.(`guest: ${told.message}`)
      if (told.event === 'failed')
        throw this.#failure('ERR_CPU_VM_GUEST', `the guest cannot be set up: ${told.message}`)
    }
    // The line ends with QEMU.
    return died
  }

  async #keepOrIntroduce(line: ControlLine): Promise<boolean> {
    const { draft, keys, state } = this.#attempt
    if (draft !== undefined && this.#isRehearsed && (await keepGuest(this.#attempt, draft))) return true
    this.#introduce(line, this.#isRehearsed ? keys : generateKeys(state.name))
    return false
  }

  async #rehearse(line: ControlLine, over: AbortSignal): Promise<void> {
    this.#isRehearsed = true
    await rehearse(this.#attempt, over)
    line.requestForget()
  }

  /** Tells the guest who it is, and those who come to it. */
  #introduce(line: ControlLine, keys: MachineKeys): void {
    const { directory, settings, state } = this.#attempt
    writeSshFiles(directory, keys, machineAddresses(this.#attempt), settings.kernel.architecture)
    line.introduce({
      hostname: state.name,
      authorizedKeys: `${keys.clientPublicKey.trim()}\n`,
      hostKey: keys.hostKey,
      seed: randomBytes(SEED_BYTES).toString('base64'),
    })
  }

  #failure(code: MachineErrorCode, message: string, remedy?: string): MachineError {
    const tail = consoleTail(this.#files.console)
    return new MachineError(code, message, { consoleTail: tail, guestSpoke: this.#hasSpoken, remedy })
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
