// What a session's program is started with, and its encoding for addon/spawn.cc.

import { CpuError } from '../errors.js'
import { FILE_DESCRIPTOR_PLACEHOLDER, type OnFailure, type Step } from '../namespace/plan.js'
import type { NativeSpawnRequest, NativeStep } from './spawn-binding.js'
import type { UserNamespace } from './user-namespace.js'

/** Everything spawnProgram needs. Bytes are passed on exactly as they are; none may contain NUL. */
export interface ProgramRequest {
  readonly steps: readonly Step[]
  /** Whether steps and program get a mount namespace of their own, cut off from all others. */
  readonly mountNamespace: boolean
  /** A user namespace around it, without which only root can mount. */
  readonly userNamespace?: UserNamespace
  /** The kernel's end of the file connection; its number replaces `%9P%` in mount data. */
  readonly fileConnectionFd?: number
  /**
   * Instead of it: `/dev/fuse`, to be opened by the supervisor, since the kernel takes it from the session's user
   * namespace only. Its number replaces `%9P%`; once that is mounted, Program emits `fuse`.
   */
  readonly fuseDevice?: string
  /** With argv[0], as the program sees it. */
  readonly argv: readonly Buffer[]
  /** Paths to try in order, as execvp(3) goes through PATH. */
  readonly executables: readonly Buffer[]
  /** `NAME=value`. */
  readonly env: readonly Buffer[]
  /** The first one that can be entered is used; none at all: the daemon's own. */
  readonly workingDirectories: readonly Buffer[]
  /** The program's ends; made blocking. */
  readonly stdio: readonly [stdin: number, stdout: number, stderr: number]
  /** Makes stdin, then a terminal, the controlling terminal. */
  readonly controllingTerminal: boolean
  readonly credentials?: { readonly uid: number; readonly gid: number; readonly groups: readonly number[] }
  /** A directory whose file system is synced after the program's end, before that is reported. */
  readonly syncPath?: string
}

const opNumbers: Record<Step['op'], number> = { mount: 0, mkdir: 1, touch: 2 }
const onFailureNumbers: Record<OnFailure, number> = { abort: 0, report: 1, ignore: 2 }

function invalid(message: string): CpuError {
  return new CpuError('ERR_CPU_SPAWN_ARGUMENT', message)
}

function bytes(value: string | Buffer, what: string): Buffer {
  const buffer = typeof value === 'string' ? Buffer.from(value) : value
  if (buffer.includes(0)) throw invalid(`NUL byte in ${what}: ${JSON.stringify(String(value))}`)
  return buffer
}

function fillIn(data: string, target: string, fileConnectionFd: number | undefined): string {
  if (!data.includes(FILE_DESCRIPTOR_PLACEHOLDER)) return data
  if (fileConnectionFd === undefined) throw invalid(`no file connection for the mount on ${target}`)
  return data.replaceAll(FILE_DESCRIPTOR_PLACEHOLDER, String(fileConnectionFd))
}

/** The first step after `index` that has another origin. */
function nextOrigin(steps: readonly Step[], index: number): number {
  const next = steps.findIndex((step, i) => i > index && step.origin !== steps[index]?.origin)
  return next === -1 ? steps.length : next
}

function nativeStep(step: Step, next: number, fileConnectionFd: number | undefined): NativeStep {
  const what = `${step.op} step (${step.origin})`
  const mount = step.op === 'mount' ? step : { source: '', target: step.path, type: '', data: '', flags: 0 }
  return {
    op: opNumbers[step.op],
    onFailure: onFailureNumbers[step.onFailure],
    source: bytes(mount.source, what),
    target: bytes(mount.target, what),
    type: bytes(mount.type, what),
    data: bytes(fillIn(mount.data, mount.target, fileConnectionFd), what),
    flags: mount.flags,
    mode: step.op === 'mkdir' ? step.mode : 0,
    next,
    mountsConnection: mount.data.includes(FILE_DESCRIPTOR_PLACEHOLDER),
  }
}

/**
 * `connectionFd` is `fileConnectionFd`, or holds the number of the device of FUSE until that is opened. Throws
 * ERR_CPU_SPAWN_ARGUMENT for what no system call could be given.
 */
export function nativeRequest(
  request: ProgramRequest,
  connectionFd = request.fileConnectionFd,
): NativeSpawnRequest {
  if (request.argv.length === 0) throw invalid('no argument vector')
  if (request.fuseDevice !== undefined && request.fileConnectionFd !== undefined)
    throw invalid('a file connection and a device of FUSE besides')
  return {
    steps: request.steps.map((step, index, all) => nativeStep(step, nextOrigin(all, index), connectionFd)),
    mountNamespace: request.mountNamespace,
    userNamespace: request.userNamespace !== undefined,
    fuseDevice: bytes(request.fuseDevice ?? '', 'device of FUSE'),
    fileConnectionFd: connectionFd ?? -1,
    argv: request.argv.map((argument, i) => bytes(argument, `argument ${i}`)),
    executables: request.executables.map(path => bytes(path, 'executable')),
    env: request.env.map(variable => bytes(variable, 'environment')),
    workingDirectories: request.workingDirectories.map(path => bytes(path, 'working directory')),
    stdio: request.stdio,
    controllingTerminal: request.controllingTerminal,
    credentials: request.credentials,
    syncPath: bytes(request.syncPath ?? '', 'path to sync'),
  }
}
