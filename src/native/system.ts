// What PID 1 of a guest does to its machine: modules, host name, network, serial lines, orphans, reboot.
// Called by src/cpud/init.ts. Every function throws a SystemError that names its subject.

import { closeSync, openSync } from 'node:fs'
import { constants } from 'node:os'
import { CpuError } from '../errors.js'
import { binding, check } from './binding.js'

/** linux/module.h: the kernel decompresses (5.17 and later, when it was built so). */
const MODULE_INIT_COMPRESSED_FILE = 4

/** linux/reboot.h */
const rebootCommands = { poweroff: 0x4321fedc, restart: 0x01234567, halt: 0xcdef0123 } as const
const LINUX_REBOOT_CMD_CAD_OFF = 0

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

/** Makes Ctrl-Alt-Del a SIGINT to process 1; else the kernel restarts at once, with nothing written. */
export function receiveCtrlAltDel(): void {
  check(binding.reboot(LINUX_REBOOT_CMD_CAD_OFF), 'reboot', 'Ctrl-Alt-Del')
}

export function setHostname(name: string): void {
  check(binding.setHostname(name), 'sethostname', name)
}

/** Brings the loopback interface up; the kernel gives it its addresses. */
export function setLoopbackUp(): void {
  setInterfaceUp('lo')
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

/** The prefix length of a netmask, such as `255.255.255.0`; throws ERR_CPU_ADDRESS for what is none. */
export function prefixOf(mask: string): number {
  const wanted = parseIpv4(mask)
  for (let prefix = 0; prefix <= 32; prefix++) if (netmask(prefix) === wanted) return prefix
  throw new CpuError('ERR_CPU_ADDRESS', `not a netmask: ${mask}`)
}

/** The prefix length of the class that an address had before there were netmasks, which is still their default. */
export function classPrefix(address: string): number {
  const first = parseIpv4(address) >>> 24
  if (first < 128) return 8
  return first < 192 ? 16 : 24
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

/** Takes an interface's address and the routes by it away. */
export function removeAddress(name: string): void {
  check(binding.setInterfaceAddress(name, 0), 'ioctl', `SIOCSIFADDR ${name} 0.0.0.0`)
}

/** Brings an interface up, with or without an address. */
export function setInterfaceUp(name: string): void {
  check(binding.setInterfaceUp(name), 'ioctl', `SIOCSIFFLAGS ${name}`)
}

/** A UDP socket on this port of one interface, for broadcasts too; needs no address there. The caller closes it. */
export function broadcastSocket(name: string, port: number): number {
  return check(binding.broadcastSocket(name, port), 'bind', `UDP port ${port} of ${name}`)
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

/**
 * Reaps what this process has adopted. What `isKnown` is left to whoever waits for it, and whatever ended after it too, for
 * now: true asks for another call in a later turn of the event loop. Only for a process that has no children by
 * node:child_process, which would be taken for orphans.
 */
export function reapOrphans(isKnown: (pid: number) => boolean): boolean {
  for (;;) {
    const pid = binding.endedChild()
    if (pid <= 0) return false
    if (isKnown(pid)) return true
    binding.reapProcess(pid)
  }
}
