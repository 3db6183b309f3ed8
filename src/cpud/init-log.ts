// Log lines of PID 1: to the kernel's log (dmesg and console), stamped and kept, or to stderr without it.

import { openSync, writeFileSync, writeSync } from 'node:fs'

/** Priorities of syslog(2). */
export const logLevel = { error: 3, warning: 4, info: 6 } as const

export type Log = (line: string, level?: number) => void

/** By default the kernel drops all but a few lines in five seconds; it may be told so on its command line. */
export function liftKernelLogLimit(): void {
  try {
    writeFileSync('/proc/sys/kernel/printk_devkmsg', 'on\n')
  } catch {
    // Then some lines are lost.
  }
}

/** Opens /dev/kmsg, where there is one. Never throws, nor does the returned function. */
export function openKernelLog(path = '/dev/kmsg'): Log {
  const fd = tryOpen(path)
  return (text, level = logLevel.info) => {
    for (const line of text.split('\n')) write(fd, line, level)
  }
}

function tryOpen(path: string): number | undefined {
  try {
    return openSync(path, 'w')
  } catch {
    return undefined
  }
}

/** One write(2) is one record. */
function write(fd: number | undefined, line: string, level: number): void {
  try {
    if (fd === undefined) writeSync(2, `cpud: ${line}\n`)
    else writeSync(fd, `<${level}>cpud: ${line}\n`)
  } catch {
    // There is nobody left to tell.
  }
}
