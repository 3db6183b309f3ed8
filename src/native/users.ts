// Users of this machine by name: getpwnam(3), getgrouplist(3).

import type { LocalUser } from '../local-user.js'
import { binding, check } from './binding.js'

/** Whoever a program can be run as. */
export interface User extends LocalUser {
  readonly gid: number
  /** All he is in, `gid` among them. */
  readonly groups: readonly number[]
}

/** Undefined for a name that nobody has. Throws a SystemError when the machine cannot tell. */
export function findUser(name: string): User | undefined {
  const found = binding.lookUpUser(name)
  if (found === 0) return undefined
  if (typeof found === 'number') return void check(found, 'getpwnam', name)
  return { name, ...found, shell: found.shell === '' ? '/bin/sh' : found.shell }
}
