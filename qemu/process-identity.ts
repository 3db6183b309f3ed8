// Processes that outlive whoever started them are known by pid and start time: a pid alone may mean another
// process by now.

import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

export interface ProcessIdentity {
  readonly pid: number
  /** Clock ticks after boot, field 22 of /proc/PID/stat. */
  readonly startTime: string
}

const POLL_MS = 20

/** Undefined when there is no such process, or only what is left of it. */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    return undefined
  }
  // The command in brackets, field 2, may have blanks and brackets in it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state, startTime] = [fields[0], fields[19]]
  return state === 'Z' || startTime === undefined ? undefined : { pid, startTime }
}

/** Whether it is still that process. */
export function isAlive(identity: ProcessIdentity): boolean {
  return identifyProcess(identity.pid)?.startTime === identity.startTime
}

/** Sends a signal if it is still that process. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): void {
  if (!isAlive(identity)) return
  try {
    process.kill(identity.pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Whether all have ended within the time. They need not be children of ours. */
export async function waitForEnd(identities: readonly ProcessIdentity[], limitMs: number): Promise<boolean> {
  const end = performance.now() + limitMs
  while (identities.some(isAlive)) {
    if (performance.now() >= end) return false
    await sleep(POLL_MS)
  }
  return true
}

/** SIGTERM, and SIGKILL for what is left after `graceMs`. */
export async function endProcesses(identities: readonly ProcessIdentity[], graceMs = 3_000): Promise<void> {
  for (const identity of identities) signalProcess(identity, 'SIGTERM')
  if (await waitForEnd(identities, graceMs)) return
  for (const identity of identities) signalProcess(identity, 'SIGKILL')
  await waitForEnd(identities, graceMs)
}
