// What the supervisor's numbers for a failure mean, in words: a stage or a step, and an errno.

import { constants } from 'node:os'
import type { CpuError, SystemError } from '../errors.js'
import { errnoName } from '../linux/errno.js'
import { MS_BIND, MS_REMOUNT } from '../linux/mount.js'
import type { MountStep, Step } from '../namespace/plan.js'
import { systemError } from './binding.js'
import { stages } from './spawn-binding.js'
import type { ProgramRequest } from './spawn-request.js'
import { fuseDeviceError, userNamespaceError } from './user-namespace.js'

/** Why a program did not start. */
export interface ProgramFailure {
  /** How far it came; `supervisor` when the supervisor was killed before it could say. */
  readonly stage: (typeof stages)[number] | 'supervisor'
  /** At stage `step`: the step, whose `onFailure` is `abort`. */
  readonly step?: Step
  readonly error: SystemError | CpuError
  /** As a shell would have it: 127 for a program that is not there, 126 for one that cannot be executed; 125 before. */
  readonly exitCode: number
}

/** A SystemError that names a step, such as `ENODEV: no such device, mount home on /tmp/cpu type 9p`. */
export function stepError(request: ProgramRequest, step: Step, errno: number): SystemError {
  const hint = request.userNamespace === undefined ? undefined : rootlessHint(step, errnoName(errno))
  const ending = hint === undefined ? '' : ` (${hint})`
  if (step.op !== 'mount') return systemError(errno, step.op, `${step.path}${ending}`)
  const type = step.type === '' ? '' : ` type ${step.type}`
  return systemError(errno, 'mount', `${step.source} on ${step.target}${type}${ending}`)
}

/** What an ordinary user's session cannot have (mount_namespaces(7)), where the errno alone would not say it. */
function rootlessHint(step: Step, error: string): string | undefined {
  if (step.op !== 'mount')
    return error === 'EACCES' || error === 'EROFS'
      ? `cpud runs as a user there; as root: ${making(step)}`
      : undefined
  if (isNewBind(step) && error === 'EINVAL')
    return 'what is mounted below it may not be left out by a user: bind it with rbind'
  if (error !== 'EPERM') return undefined
  return 'needs root there: cpud runs as a user'
}

function making({ op, path }: Exclude<Step, MountStep>): string {
  return op === 'mkdir' ? `mkdir -p ${path}` : `touch ${path}`
}

function isNewBind({ flags }: MountStep): boolean {
  return (flags & MS_BIND) !== 0 && (flags & MS_REMOUNT) === 0
}

export function programFailure(
  request: ProgramRequest,
  stage: number,
  index: number,
  errno: number,
): ProgramFailure {
  const name = stages[stage] ?? 'setup'
  const failed = (syscall: string, subject: string, exitCode = 125): ProgramFailure => ({
    stage: name,
    error: systemError(errno, syscall, subject),
    exitCode,
  })
  switch (name) {
    case 'step': {
      const step = request.steps[index]!
      return { stage: name, step, error: stepError(request, step, errno), exitCode: 125 }
    }
    case 'setup':
      return failed('prepare', 'session (is /proc mounted?)')
    case 'user-namespace':
      return refused(name, userNamespaceError(systemError(errno, 'unshare', 'user namespace')))
    case 'namespace':
      if (request.userNamespace !== undefined)
        return refused(name, userNamespaceError(systemError(errno, 'mount', 'none on / private')))
      return failed('unshare', 'mount namespace')
    case 'fuse': {
      const device = String(request.fuseDevice)
      return refused(name, fuseDeviceError(systemError(errno, 'open', device), device))
    }
    case 'fork':
      return failed('fork', 'program')
    case 'terminal':
      return failed('ioctl', 'TIOCSCTTY on stdin')
    case 'credentials':
      return failed('setresuid', `uid ${request.credentials?.uid} gid ${request.credentials?.gid}`)
    case 'chdir':
      return failed('chdir', String(request.workingDirectories[0]))
    case 'exec': {
      const missing = errno === constants.errno.ENOENT || errno === constants.errno.ENOTDIR
      return failed('execve', String(request.argv[0]), missing ? 127 : 126)
    }
  }
}

/** At a stage before the program's own. */
export function refused(stage: ProgramFailure['stage'], error: CpuError | SystemError): ProgramFailure {
  return { stage, error, exitCode: 125 }
}
