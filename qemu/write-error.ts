// A file of ours that cannot be written: no room, or not ours to write. What else goes wrong stays as it is.

import { getSystemErrorMap } from 'node:util'
import { CpuError } from '../src/errors.js'

const NO_ROOM = ['ENOSPC', 'EDQUOT', 'EFBIG']
const NOT_OURS = ['EROFS', 'EACCES', 'EPERM']

/** Whether it is one of `writeError` for a place that this user may not write to at all. */
export function isReadOnly(error: unknown): boolean {
  if (!(error instanceof CpuError) || error.code !== 'ERR_CPU_VM_WRITE') return false
  return NOT_OURS.includes((error.cause as NodeJS.ErrnoException).code ?? '')
}

/** `variable` is what of the environment chooses the place. */
export function writeError(error: unknown, place: string, variable: string): unknown {
  const { code, errno } = error as NodeJS.ErrnoException
  if (code === undefined || errno === undefined || error instanceof CpuError) return error
  const isFull = NO_ROOM.includes(code)
  if (!isFull && !NOT_OURS.includes(code)) return error
  const reason = getSystemErrorMap().get(errno)?.[1] ?? code
  return new CpuError('ERR_CPU_VM_WRITE', `cannot write to ${place}: ${reason}`, {
    cause: error,
    remedy: `${isFull ? 'make room there' : 'correct its permissions'}, or choose another place with ${variable}`,
  })
}
