// Where the processor's time goes while a guest works: a row that misses its goal is explained by it. Called by
// guest-host.ts.
import { readFileSync } from 'node:fs'

/** Milliseconds of processor time. */
export interface ProcessorTimes {
  /** The client of the session, which for our ways is the file server. */
  readonly client: number
  /** QEMU: the guest's own work, and the server of virtio-9p. */
  readonly qemu: number
  /** The whole host, with kernel threads (vhost), virtiofsd, sshd, and whatever else runs. */
  readonly host: number
}

const TICK_MS = 10 // proc(5): USER_HZ is 100 wherever Linux runs

/** Since the processes started, or the host. */
export function processorTimes(clientPid: number, qemuPid: number): ProcessorTimes {
  return { client: ofProcess(clientPid), qemu: ofProcess(qemuPid), host: ofHost() }
}

export function difference(after: ProcessorTimes, before: ProcessorTimes): ProcessorTimes {
  return {
    client: after.client - before.client,
    qemu: after.qemu - before.qemu,
    host: after.host - before.host,
  }
}

/** proc_pid_stat(5): utime and stime are the 14th and 15th field; the name may have blanks in it. */
function ofProcess(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const [utime, stime] = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
  return (Number(utime) + Number(stime)) * TICK_MS
}

/** proc_stat(5): all but idle and iowait. */
function ofHost(): number {
  const [line = ''] = readFileSync('/proc/stat', 'latin1').split('\n', 1)
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = line
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number)
  return (user + nice + system + irq + softirq) * TICK_MS
}
