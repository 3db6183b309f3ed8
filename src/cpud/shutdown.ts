// The end of a machine whose PID 1 cpud is, after the sessions have ended: whatever still runs is killed, file systems
// are unmounted or made read-only, and the machine is stopped. In a PID namespace only the last: the rest is not ours.

import { existsSync, readdirSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FstabEntry } from '../fstab/entry.js'
import { parseFstab } from '../fstab/parse.js'
import { MS_RDONLY, MS_REMOUNT } from '../linux/mount.js'
import { mount, unmount } from '../native/mount.js'
import { readText } from '../native/read-text.js'
import { type Log, logLevel } from './init-log.js'
import { systemMounts } from './init-mounts.js'

const KILL_LIMIT_MS = 2000
const KILL_INTERVAL_MS = 50

/** linux/proc_ns.h: PROC_PID_INIT_INO. */
const FIRST_PID_NAMESPACE = 'pid:[4026531836]'

/** Whether this is process 1 of the machine, not of a container on it. */
export function isMachineInit(): boolean {
  if (process.pid !== 1) return false
  // a kernel without such namespaces has no file for them
  if (!existsSync('/proc/self/ns/pid')) return existsSync('/proc/self/stat')
  return readlinkSync('/proc/self/ns/pid') === FIRST_PID_NAMESPACE
}

/** Kills what runs besides this process, and leaves nothing on a disk half written. */
export async function quiesce(log: Log): Promise<void> {
  if (!isMachineInit()) return
  await killOthers()
  for (const mounted of mountedFileSystems().reverse()) release(mounted, log)
}

async function killOthers(): Promise<void> {
  const deadline = performance.now() + KILL_LIMIT_MS
  while (hasOthers() && performance.now() < deadline) {
    try {
      process.kill(-1, 'SIGKILL')
    } catch {
      // They have just gone.
    }
    await sleep(KILL_INTERVAL_MS)
  }
}

/** Threads of the kernel and processes that have ended have no command line. */
function hasOthers(): boolean {
  return readdirSync('/proc').some(
    name => /^\d+$/.test(name) && name !== '1' && readText(`/proc/${name}/cmdline`) !== '',
  )
}

const inMemory = new Set(['rootfs', 'ramfs', ...systemMounts.map(({ type }) => type)])

/** Those with something to lose, in the order in which they were mounted. */
function mountedFileSystems(): FstabEntry[] {
  return parseFstab(readText('/proc/self/mounts')).entries.filter(({ type }) => !inMemory.has(type))
}

function release({ target, source }: FstabEntry, log: Log): void {
  try {
    if (target !== '/') return unmount(target)
  } catch {
    // Still in use: what keeps it will not write any more, at least.
  }
  try {
    mount(source, target, '', MS_REMOUNT | MS_RDONLY)
  } catch (error) {
    log(`left as it is: ${(error as Error).message}`, logLevel.warning)
  }
}
