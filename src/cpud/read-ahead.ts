// How far the kernel reads ahead on the session's files. FUSE leaves it at 128 KiB, whatever a message may hold; the
// window of a mount can be widened through sysfs (Documentation/ABI/testing/sysfs-class-bdi in Linux).
import { readFileSync, writeFileSync } from 'node:fs'

const READ_AHEAD_KIB = 1024

/** Widens the window of what process `pid` sees mounted there. Does nothing where that cannot be. */
export function widenReadAhead(pid: number, mountPoint: string): void {
  try {
    const device = mountedDevice(readFileSync(`/proc/${pid}/mountinfo`, 'latin1'), mountPoint)
    if (device !== undefined) writeFileSync(`/sys/class/bdi/${device}/read_ahead_kb`, String(READ_AHEAD_KIB))
  } catch {
    // The program has ended, or sysfs is not there or not ours: it is slower.
  }
}

/** `major:minor` of the last mount there; mountinfo is of proc_pid_mountinfo(5). */
export function mountedDevice(mountinfo: string, mountPoint: string): string | undefined {
  const fields = mountinfo.split('\n').map(line => line.split(' '))
  return fields.filter(([, , , , point]) => point === mountPoint).at(-1)?.[2]
}
