// A virtio-serial port of this machine (drivers/char/virtio_console.c in Linux): found by its name, and watched for the
// host to connect to it. Called by transport/.

import { constants, openSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CpuError } from '../errors.js'
import { binding, check } from './binding.js'
import { closeFd } from './fd-stream.js'
import { readText } from './read-text.js'

const PORTS = '/sys/class/virtio-ports'
const RETRY_MS = 10

/**
 * The descriptor of a port, which the caller closes; it does not block. The kernel learns of ports and their names some
 * time after its driver is there: waits so long. Throws CpuError ERR_CPU_LISTEN, and a system error.
 */
export async function openSerialPort(name: string, limitMs: number): Promise<number> {
  const end = performance.now() + limitMs
  for (;;) {
    const device = deviceOf(name)
    if (device !== undefined)
      return openSync(device, constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOCTTY)
    if (performance.now() >= end)
      throw new CpuError('ERR_CPU_LISTEN', `this machine has no virtio-serial port ${name}`, {
        remedy: 'load the module virtio_console there',
      })
    await sleep(RETRY_MS)
  }
}

/** Without udev there are no names in /dev. */
function deviceOf(name: string): string | undefined {
  const device = listPorts().find(port => readText(join(PORTS, port, 'name')).trim() === name)
  return device === undefined ? undefined : join('/dev', device)
}

function listPorts(): string[] {
  try {
    return readdirSync(PORTS)
  } catch {
    return []
  }
}

/** asm-generic/poll.h */
const EPOLLHUP = 0x10

/**
 * Calls `onConnected` once, when the host is connected to the port, at once if it is now. A port is hung up till then, of
 * which poll(2) would tell without end, so that only changes are looked at. Returns what ends the wait.
 */
export function whenHostConnects(port: number, onConnected: () => void): () => void {
  const epoll = check(binding.epollCreate(), 'epoll_create', '')
  const poll = new binding.Poll()
  const onReady = () => {
    const events = binding.epollTake(epoll)
    if (events <= 0 || (events & EPOLLHUP) !== 0) return
    poll.close()
    onConnected()
  }
  try {
    check(binding.epollAddEdges(epoll, port), 'epoll_ctl', `descriptor ${port}`)
    check(
      poll.open(epoll, onReady, () => {}),
      'poll',
      `descriptor ${port}`,
    )
  } catch (error) {
    closeFd(epoll)
    throw error
  }
  poll.start(false)
  return () => poll.close()
}
