// Log lines in the kernel's log (dmesg and console), stamped and kept: of PID 1, and with -klog.

import { constants, openSync, writeFileSync, writeSync } from 'node:fs'

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

/** The kernel refuses records of more than 1024 bytes, and before Linux 6.0 of a few less. */
const MAX_LINE_BYTES = 900

export const KERNEL_LOG = '/dev/kmsg'

/** Opens the kernel's log for PID 1, which has stderr where there is none. Never throws, nor does the returned function. */
export function openInitLog(path = KERNEL_LOG): Log {
  try {
    return openKernelLog(path)
  } catch {
    return line => write(2, `cpud: ${line}\n`)
  }
}

/** Opens the kernel's log. Throws what open(2) says; the returned function never throws. */
export function openKernelLog(path = KERNEL_LOG): Log {
  const fd = openSync(path, constants.O_WRONLY | constants.O_APPEND)
  return (text, level = logLevel.info) => {
    for (const line of text.split('\n')) {
      const bytes = Buffer.from(line)
      for (let at = 0; at < Math.max(1, bytes.length); at += MAX_LINE_BYTES)
        write(fd, `<${level}>cpud: ${bytes.subarray(at, at + MAX_LINE_BYTES)}\n`)
    }
  }
}

/** One write(2) is one record. */
function write(fd: number, record: string): void {
  try {
    writeSync(fd, record)
  } catch {
    // There is nobody left to tell.
  }
}
