// Starts a session's program in one native transaction and follows it to its end. Between this process and
// the program stands a supervisor (addon/supervisor.cc): it holds the mount namespace, adopts whatever the
// program leaves behind, and kills all of it at `end()` or when this process dies, however that happens.

import { EventEmitter, once } from 'node:events'
import { openSync } from 'node:fs'
import { constants } from 'node:os'
import { CpuError, type SystemError } from '../errors.js'
import type { Step } from '../namespace/plan.js'
import { binding, check, systemError } from './binding.js'
import { closeFd } from './fd-stream.js'
import { messageKind } from './spawn-binding.js'
import { type ProgramFailure, programFailure, refused, stepError } from './spawn-failure.js'
import { nativeRequest, type ProgramRequest } from './spawn-request.js'
import { userNamespaceError, writeIdMaps } from './user-namespace.js'

export type { ProgramFailure } from './spawn-failure.js'
export type { ProgramRequest } from './spawn-request.js'

/** How a program ended. `problem`: what else went wrong, such as written data that could not be synced. */
export type ProgramExit =
  | { readonly code: number; readonly problem?: SystemError | CpuError }
  | { readonly signal: string; readonly problem?: SystemError | CpuError }

interface ProgramEvents {
  /** A step with `onFailure: 'report'` failed; the session goes on. */
  'step-failed': [step: Step, error: SystemError]
  /**
   * `fuseDevice` is mounted, and whoever reads there waits for messages from this descriptor. It is the listener's,
   * and the only one; without a listener it is closed.
   */
  fuse: [fd: number]
  started: [pid: number]
  failed: [failure: ProgramFailure]
  exit: [exit: ProgramExit]
  /** The supervisor is gone, all processes dead but `leftover` ones (stuck in the kernel), the mounts released. */
  ended: [leftover: number]
}

const signalNumbers = new Map<string, number>(Object.entries(constants.signals))
const signalNames = new Map([...signalNumbers].reverse().map(([name, number]) => [number, name]))

const supervisors = new Set<number>()

/** Whether a child process is a session's supervisor, which its Program reaps: for the reaper of PID 1. */
export function isSupervisor(pid: number): boolean {
  return supervisors.has(pid)
}

/** The numbers of wait(2). */
function programExit(status: number, syncErrno: number, syncPath = ''): ProgramExit {
  const sync = syncErrno === 0 ? {} : { problem: systemError(syncErrno, 'syncfs', syncPath) }
  const signal = status & 0x7f
  if (signal === 0) return { code: (status >> 8) & 0xff, ...sync }
  return { signal: signalNames.get(signal) ?? `SIG${signal}`, ...sync }
}

/**
 * A started session. Emits exactly one of `failed` and `exit`, and `ended` last. Between `exit` and `ended`
 * the mount namespace and background processes live on, until `end()`; after `failed` it ends by itself.
 */
export class Program extends EventEmitter<ProgramEvents> {
  readonly supervisorPid: number
  /** The program's process id, its process group and session too; undefined before `started`. */
  pid: number | undefined
  readonly #request: ProgramRequest
  readonly #control: number
  readonly #message = new Int32Array(5)
  readonly #waitingSignals: number[] = []
  #stopWatching: (() => void) | undefined
  #concluded = false
  #ended = false
  #leftover = 0

  /** For spawnProgram; takes over the control socket. */
  constructor(request: ProgramRequest, supervisorPid: number, control: number) {
    super()
    this.#request = request
    this.supervisorPid = supervisorPid
    this.#control = control
    supervisors.add(supervisorPid)
    this.#stopWatching = watch(control, () => this.#receive())
    this.#awaitDeath()
  }

  /**
   * Sends a signal (`SIGTERM`) to the program's process group, as soon as it has started; one that has ended
   * gets none. A stopped group is continued for SIGTERM and SIGHUP. Throws ERR_CPU_SPAWN_SIGNAL for an unknown name.
   */
  signal(name: string): void {
    const number = signalNumbers.get(name)
    if (number === undefined) throw new CpuError('ERR_CPU_SPAWN_SIGNAL', `unknown signal ${name}`)
    if (this.#concluded) return
    if (this.pid === undefined) this.#waitingSignals.push(number)
    else binding.sendMessage(this.#control, messageKind.signal, number)
  }

  /** Kills every process of the session and releases its mounts; resolves at `ended`. */
  async end(): Promise<void> {
    if (this.#ended) return
    const ended = once(this, 'ended')
    binding.sendMessage(this.#control, messageKind.end, 0)
    await ended
  }

  /** Until there is nothing more to receive, for now or for ever. */
  #receive(): void {
    for (;;) {
      const length = binding.receiveMessage(this.#control, this.#message)
      if (length > 0) {
        this.#handle()
        continue
      }
      // Said once, before its last messages, when the supervisor ended without reading ours.
      if (-length === constants.errno.ECONNRESET) continue
      if (-length !== constants.errno.EAGAIN) {
        this.#stopWatching?.()
        this.#stopWatching = undefined
      }
      return
    }
  }

  #handle(): void {
    const [kind = 0, value = 0, index = 0, error = 0, fd = -1] = this.#message
    switch (kind) {
      case messageKind.stepFailed: {
        const step = this.#request.steps[index]!
        this.emit('step-failed', step, stepError(this.#request, step, error))
        break
      }
      case messageKind.unshared:
        void this.#mapIds()
        break
      case messageKind.fuseMounted:
        if (!this.emit('fuse', fd)) closeFd(fd)
        break
      case messageKind.started:
        this.pid = value
        for (const signal of this.#waitingSignals)
          binding.sendMessage(this.#control, messageKind.signal, signal)
        this.emit('started', value)
        break
      case messageKind.failed:
        this.#fail(programFailure(this.#request, value, index, error))
        break
      case messageKind.exited:
        if (this.#concluded) break
        this.#concluded = true
        this.emit('exit', programExit(value, error, this.#request.syncPath))
        break
      case messageKind.leftover:
        this.#leftover = value
    }
  }

  #fail(failure: ProgramFailure): void {
    this.#concluded = true
    this.emit('failed', failure)
  }

  /** The supervisor waits for it, in its new user namespace. */
  async #mapIds(): Promise<void> {
    let kind: number = messageKind.mapped
    try {
      await writeIdMaps(this.supervisorPid, this.#request.userNamespace!)
    } catch (error) {
      if (this.#concluded) return
      kind = messageKind.end
      this.#fail(refused('user-namespace', mapError(error)))
    }
    if (!this.#ended) binding.sendMessage(this.#control, kind, 0)
  }

  #awaitDeath(): void {
    const pidfd = binding.openPidfd(this.supervisorPid)
    if (pidfd < 0) {
      this.#pollDeath()
      return
    }
    const stop = watch(pidfd, () => {
      if (binding.reapProcess(this.supervisorPid) === 0) return
      stop()
      closeFd(pidfd)
      this.#finish()
    })
  }

  /** For kernels before 5.3, which have no pidfd_open(2). */
  #pollDeath(): void {
    const timer = setInterval(() => {
      if (binding.reapProcess(this.supervisorPid) === 0) return
      clearInterval(timer)
      this.#finish()
    }, 50)
  }

  #finish(): void {
    supervisors.delete(this.supervisorPid)
    if (this.#stopWatching) this.#receive()
    this.#stopWatching?.()
    closeFd(this.#control)
    if (!this.#concluded) this.#concludeWithoutWord()
    this.#ended = true
    this.emit('ended', this.#leftover)
  }

  /**
   * The supervisor was killed. The kernel then kills the program (PR_SET_PDEATHSIG); its process group is
   * killed here, and what has left that group escapes.
   */
  #concludeWithoutWord(): void {
    killGroup(this.pid)
    this.#concluded = true
    const error = new CpuError(
      'ERR_CPU_SPAWN_SUPERVISOR',
      `supervisor killed, session of ${String(this.#request.argv[0])}, process ${this.supervisorPid}`,
      { remedy: 'look for "Out of memory" in dmesg' },
    )
    if (this.pid === undefined) this.emit('failed', { stage: 'supervisor', error, exitCode: 125 })
    else this.emit('exit', { signal: 'SIGKILL', problem: error })
  }
}

function killGroup(leader: number | undefined): void {
  try {
    if (leader !== undefined) process.kill(-leader, 'SIGKILL')
  } catch {
    // Nothing is left of it.
  }
}

function watch(fd: number, callback: () => void): () => void {
  const result = binding.watchReadable(fd, callback)
  if (typeof result === 'number') throw systemError(result, 'epoll_ctl', `descriptor ${fd}`)
  return result
}

/** The kernel's word against a map of one line, or a tool's. */
function mapError(error: unknown): CpuError {
  if (error instanceof CpuError) return error
  const { errno = 0, syscall = 'write', path = 'uid_map' } = error as NodeJS.ErrnoException
  return userNamespaceError(systemError(errno, syscall, path))
}

/**
 * Forks supervisor and program; what comes of it is told by the Program's events, never before this returns.
 * Takes over `stdio` and `fileConnectionFd`, also when it fails: they are closed here (not 0, 1 and 2).
 * With `userNamespace` it fails with ERR_CPU_SPAWN_USER_NAMESPACE or ERR_CPU_SPAWN_ID_MAP where there can be none, with
 * `fuseDevice` with ERR_CPU_SPAWN_FUSE where that cannot be opened.
 * Throws ERR_CPU_SPAWN_ARGUMENT for impossible bytes, a SystemError when fork fails (EAGAIN, ENOMEM).
 */
export function spawnProgram(request: ProgramRequest): Program {
  const handedOver = [...request.stdio, request.fileConnectionFd ?? -1]
  try {
    let connectionFd = request.fileConnectionFd
    if (request.fuseDevice !== undefined) {
      // Mount data are made now, so the device's number has to be known and free in the supervisor.
      connectionFd = openSync('/dev/null', 'r')
      handedOver.push(connectionFd)
    }
    const control = new Int32Array(1)
    const pid = check(
      binding.spawnSupervisor(nativeRequest(request, connectionFd), control),
      'fork',
      `supervisor of ${String(request.argv[0])}`,
    )
    return new Program(request, pid, control[0]!)
  } finally {
    // 0 to 2 are this process's own and stay open.
    for (const fd of new Set(handedOver)) if (fd > 2) closeFd(fd)
  }
}
