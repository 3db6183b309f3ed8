// Id maps of a session's user namespace, by which an ordinary user's cpud can mount: which ones this machine allows
// the user (subuid(5)), and writing them (user_namespaces(7)).

import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import os from 'node:os'
import { promisify } from 'node:util'
import { CpuError } from '../errors.js'
import { isInPath } from '../in-path.js'
import { capability, isCapable } from './capabilities.js'
import { readText } from './read-text.js'

/** A line of uid_map or gid_map: `count` ids from `inside` on are those from `outside` on. */
export interface IdRange {
  readonly inside: number
  readonly outside: number
  readonly count: number
}

export interface UserNamespace {
  readonly uids: readonly IdRange[]
  readonly gids: readonly IdRange[]
  /** Whether only newuidmap(1) and newgidmap(1) may write them. */
  readonly subordinate: boolean
}

/** Who the user is, and what the machine has for him. */
export interface Subordination {
  readonly uid: number
  readonly gid: number
  /** Undefined for one who is not in passwd(5), or not there with this group: the tools serve no such user. */
  readonly userName: string | undefined
  /** Text of /etc/subuid. */
  readonly subuid: string
  /** Text of /etc/subgid. */
  readonly subgid: string
  /** Whether newuidmap and newgidmap are there. */
  readonly hasTools: boolean
}

const TOOL_TIMEOUT_MS = 10_000

/** The user is root inside and nobody else exists. Needs no one's permission; files of all others are nobody's. */
export function rootOnly(uid: number, gid: number): UserNamespace {
  const only = (outside: number) => [{ inside: 0, outside, count: 1 }]
  return { uids: only(uid), gids: only(gid), subordinate: false }
}

/**
 * The user is himself inside, and all other ids, root among them, are subordinate ones; `rootOnly` where these are
 * not given, or the tools are missing.
 */
export function chooseUserNamespace(of: Subordination): UserNamespace {
  const { uid, gid, userName } = of
  if (!of.hasTools || userName === undefined || uid === 0) return rootOnly(uid, gid)
  const uids = subordinateRanges(of.subuid, userName, uid)
  const gids = subordinateRanges(of.subgid, userName, uid)
  if (uids.length === 0 || gids.length === 0) return rootOnly(uid, gid)
  return { uids: keepOwn(uid, uids), gids: keepOwn(gid, gids), subordinate: true }
}

/** Whom this process's user is in it. */
export function idsInside({ subordinate }: UserNamespace): { uid: number; gid: number } {
  return subordinate ? { uid: process.geteuid!(), gid: process.getegid!() } : { uid: 0, gid: 0 }
}

/** chooseUserNamespace for this process. */
export function userNamespaceHere(): UserNamespace {
  const [uid, gid] = [process.geteuid!(), process.getegid!()]
  return chooseUserNamespace({
    uid,
    gid,
    userName: nameHere(uid, gid),
    subuid: readText('/etc/subuid'),
    subgid: readText('/etc/subgid'),
    hasTools: isInPath('newuidmap') && isInPath('newgidmap'),
  })
}

/** Whether this process may mount as it is; else its sessions need a user namespace. */
export function mayMountHere(): boolean {
  return isCapable(capability.sysAdmin)
}

/** Lines `name:first:count`; a user id may stand for the name, in both files. */
function subordinateRanges(text: string, userName: string, uid: number): { first: number; count: number }[] {
  return text.split('\n').flatMap(line => {
    const [owner, first, count, ...rest] = line.split(':')
    if (owner !== userName && owner !== String(uid)) return []
    if (rest.length > 0 || !/^\d+$/.test(first ?? '') || !/^\d+$/.test(count ?? '')) return []
    return Number(count) > 0 ? [{ first: Number(first), count: Number(count) }] : []
  })
}

/** From 0 on one after the other, but `own` at its own number. */
function keepOwn(own: number, ranges: readonly { first: number; count: number }[]): IdRange[] {
  const map: IdRange[] = []
  let inside = 0
  const place = (outside: number, count: number) => {
    if (count > 0) map.push({ inside, outside, count })
    inside += count
  }
  for (const { first, count } of ranges) {
    const below = inside <= own ? Math.min(count, own - inside) : count
    place(first, below)
    if (inside === own) inside++
    place(first + below, count - below)
  }
  return [...map, { inside: own, outside: own, count: 1 }]
}

/**
 * Writes the maps of a process that is in a new user namespace. Rejects with ERR_CPU_SPAWN_ID_MAP when a tool refuses,
 * with Node's error when the kernel does.
 */
export async function writeIdMaps(pid: number, { uids, gids, subordinate }: UserNamespace): Promise<void> {
  if (subordinate) {
    await runTool('newuidmap', pid, uids)
    await runTool('newgidmap', pid, gids)
    return
  }
  // Or the group map would give the user a way out of his groups: without it the kernel refuses the map.
  writeFileSync(`/proc/${pid}/setgroups`, 'deny')
  writeFileSync(`/proc/${pid}/uid_map`, formatMap(uids))
  writeFileSync(`/proc/${pid}/gid_map`, formatMap(gids))
}

function formatMap(map: readonly IdRange[]): string {
  return map.map(({ inside, outside, count }) => `${inside} ${outside} ${count}\n`).join('')
}

async function runTool(tool: string, pid: number, map: readonly IdRange[]): Promise<void> {
  const numbers = map.flatMap(({ inside, outside, count }) => [inside, outside, count])
  try {
    // not execa: cpud's bundle does without it, and starts in guests on an emulated processor
    await promisify(execFile)(tool, [pid, ...numbers].map(String), { timeout: TOOL_TIMEOUT_MS })
  } catch (error) {
    const { stderr = '', killed, message } = error as Error & { stderr?: string; killed?: boolean }
    const said = killed ? `no end after ${TOOL_TIMEOUT_MS / 1000} s` : stderr.trim().split('\n')[0] || message
    throw new CpuError('ERR_CPU_SPAWN_ID_MAP', `ids of the session not mapped: ${said}`, {
      cause: error,
      remedy: `look at this user's lines in /etc/subuid and /etc/subgid, and whether ${tool} is setuid root`,
    })
  }
}

function nameHere(uid: number, gid: number): string | undefined {
  try {
    const { username, uid: knownUid, gid: knownGid } = os.userInfo()
    return knownUid === uid && knownGid === gid ? username : undefined
  } catch {
    return undefined
  }
}

const ELSE = 'or run cpud as root'

/** Settings that keep users from user namespaces, and how to change them. */
const switches = [
  {
    name: 'kernel.unprivileged_userns_clone',
    off: '0',
    what: 'user namespaces are switched off for users',
    remedy: `as root: sysctl kernel.unprivileged_userns_clone=1; ${ELSE}`,
  },
  {
    name: 'user.max_user_namespaces',
    off: '0',
    what: 'user namespaces are switched off',
    remedy: `as root: sysctl user.max_user_namespaces=10000; ${ELSE}`,
  },
  {
    name: 'kernel.apparmor_restrict_unprivileged_userns',
    off: '1',
    what: 'AppArmor keeps users from user namespaces',
    remedy: `as root: sysctl kernel.apparmor_restrict_unprivileged_userns=0; ${ELSE}`,
  },
] as const

/**
 * ERR_CPU_SPAWN_USER_NAMESPACE: why there is no user namespace, or none that may mount, when a system call that was
 * to bring one failed with `cause`. `setting` reads a file below /proc/sys, empty for one that is not there.
 */
export function userNamespaceError(
  cause: Error & { readonly code: string },
  setting: (path: string) => string = path => readText(`/proc/sys/${path}`),
): CpuError {
  const found = switches.find(({ name, off }) => setting(name.replaceAll('.', '/')).trim() === off)
  const error = (message: string, remedy: string) =>
    new CpuError('ERR_CPU_SPAWN_USER_NAMESPACE', message, { cause, remedy })
  if (found !== undefined) return error(`${found.what} (${found.name} is ${found.off})`, found.remedy)
  switch (cause.code) {
    case 'ENOSPC':
    case 'EUSERS':
      return error(
        'no more user namespaces (user.max_user_namespaces, or 32 within each other)',
        `as root: sysctl user.max_user_namespaces=10000; ${ELSE}`,
      )
    case 'EINVAL':
    case 'ENOSYS':
      return error('this kernel has no user namespaces (CONFIG_USER_NS)', 'run cpud as root')
    default:
      return error(
        `no user namespace that may mount: ${cause.message}`,
        'look for a container, chroot or security module that forbids it, or run cpud as root',
      )
  }
}

/** ERR_CPU_SPAWN_FUSE: why the device of FUSE cannot be opened. */
export function fuseDeviceError(cause: Error & { readonly code: string }, device: string): CpuError {
  const [message, remedy] =
    cause.code === 'EACCES' || cause.code === 'EPERM'
      ? [`${device} is closed to this user`, `as root: chmod 666 ${device}; ${ELSE}`]
      : cause.code === 'ENOENT' || cause.code === 'ENODEV' || cause.code === 'ENXIO'
        ? [`no FUSE here (${cause.message})`, 'as root: modprobe fuse']
        : [`no FUSE here (${cause.message})`, undefined]
  return new CpuError('ERR_CPU_SPAWN_FUSE', message, { cause, remedy })
}
