// What PID 1 of a guest does to its machine: modules, host name, network, serial lines, orphans, reboot.
// Called by src/cpud/init.ts. Every function throws a SystemError that names its subject.

import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { CpuError } from '../errors.js'
import { binding, check } from './binding.js'

/** linux/module.h: the kernel decompresses (5.17 and later, when it was built so). */
const MODULE_INIT_COMPRESSED_FILE = 4

/** linux/reboot.h */
const rebootCommands = { poweroff: 0x4321fedc, restart: 0x01234567, halt: 0xcdef0123 } as const

export type RebootCommand = keyof typeof rebootCommands

/** Loads a module (`.ko`, or compressed where the kernel can); one that is loaded already is no failure. */
export function loadModule(path: string, parameters = ''): void {
  const fd = openSync(path, 'r')
  try {
    const flags = path.endsWith('.ko') ? 0 : MODULE_INIT_COMPRESSED_FILE
    const result = binding.loadModule(fd, parameters, flags)
    if (-result !== constants.errno.EEXIST) check(result, 'finit_module', path)
  } finally {
    closeSync(fd)
  }
}

/** Syncs all file systems and stops the machine; does not return when it works. */
export function reboot(command: RebootCommand): void {
  binding.sync()
  check(binding.reboot(rebootCommands[command]), 'reboot', command)
}

export function setHostname(name: string): void {
  check(binding.setHostname(name), 'sethostname', name)
}

/** Brings the loopback interface up; the kernel gives it its addresses. */
export function setLoopbackUp(): void {
  check(binding.setInterfaceUp('lo'), 'ioctl', 'SIOCSIFFLAGS lo')
}

/** Dotted IPv4 as a number; throws ERR_CPU_ADDRESS for anything else. */
export function parseIpv4(text: string): number {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number)
  if (!parts?.every(part => part <= 255))
    throw new CpuError('ERR_CPU_ADDRESS', `not an IPv4 address: ${text}`)
  return parts.reduce((address, part) => address * 256 + part, 0)
}

/** The netmask of a prefix length from 0 to 32. */
export function netmask(prefix: number): number {
  return prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0
}

/** A static IPv4 address, with a default route when there is a gateway; brings the interface up. */
export function configureInterface(
  name: string,
  { address, prefix, gateway }: { address: string; prefix: number; gateway?: string | undefined },
): void {
  const subject = `${name} ${address}/${prefix}`
  check(binding.setInterfaceAddress(name, parseIpv4(address)), 'ioctl', `SIOCSIFADDR ${subject}`)
  check(binding.setInterfaceNetmask(name, netmask(prefix)), 'ioctl', `SIOCSIFNETMASK ${subject}`)
  check(binding.setInterfaceUp(name), 'ioctl', `SIOCSIFFLAGS ${subject}`)
  if (gateway === undefined) return
  check(binding.addDefaultRoute(parseIpv4(gateway)), 'ioctl', `SIOCADDRT default via ${gateway}`)
}

/** Sets the time of day, in milliseconds since 1970, fractions included. */
export function setClock(unixMs: number): void {
  check(binding.setClock(unixMs), 'clock_settime', new Date(unixMs).toISOString())
}

/** Ends the process without waiting for its threads, as process.exit() does: one may hang in a system call. */
export function exitNow(code: number): void {
  binding.exitNow(code)
}

/** Where `/dev/kmsg` is read on from: what comes after this. */
export function seekToEnd(fd: number, subject: string): void {
  check(binding.seekToEnd(fd), 'lseek', subject)
}

/** Puts a terminal or serial line into raw mode: no echo, no translation, no signals. */
export function makeRaw(fd: number, subject: string): void {
  check(binding.makeRaw(fd), 'tcsetattr', subject)
}

/** The children of this process that have ended and are not reaped, by proc_pid_stat(5). */
export function zombieChildren(): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .filter(name => isZombieChild(name))
    .map(Number)
}

function isZombieChild(pid: string): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return state === 'Z' && Number(parent) === process.pid
  } catch {
    // It has ended since.
    return false
  }
}

/**
 * Reaps what this process has adopted, and nothing that somebody waits for. A zombie is left alone while it
 * is `known` (a supervisor, which its Program reaps), and for one more call: Node reaps its own children at
 * the next turn of the event loop, so one that is still there at the next call is nobody's.
 */
export class OrphanReaper {
  readonly #known: (pid: number) => boolean
  #seen = new Set<number>()

  constructor(known: (pid: number) => boolean) {
    this.#known = known
  }

  /** Whether there are any left, for another call in a later turn of the event loop. Reaped ones are gone. */
  reapOrphans(): boolean {
    const zombies = zombieChildren().filter(pid => !this.#known(pid))
    for (const pid of zombies) if (this.#seen.has(pid)) binding.reapProcess(pid)
    this.#seen = new Set(zombies.filter(pid => !this.#seen.has(pid)))
    return this.#seen.size > 0
  }
}
