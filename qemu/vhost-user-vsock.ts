// vhost-device-vsock (rust-vmm), which gives one machine AF_VSOCK without the host's kernel. Who connects to its unix
// socket and says `CONNECT port` is connected to that port of the guest; the guest reaches port N of its host at the
// socket of the same name with `_N` behind it.

import { existsSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CpuError } from '../src/errors.js'
import { findInPath } from '../src/in-path.js'
import { type Daemon, lastLine, startDaemon } from './daemon-process.js'

export const VHOST_USER_VSOCK = 'vhost-device-vsock'

/** Its guests cannot see each other, so they may all have one CID. */
const GUEST_CID = 3
const LISTEN_LIMIT_MS = 10_000
const RETRY_MS = 10

export interface VhostUserVsock {
  readonly daemon: Daemon
  readonly logFile: string
}

export interface VhostUserVsockOptions {
  readonly program: string
  /** For sockets and log. */
  readonly directory: string
  readonly detached: boolean
}

/** Where it is, or why there is none. */
export function findVhostUserVsock(): { readonly program?: string; readonly reason: string } {
  const elsewhere = join('/usr/libexec', VHOST_USER_VSOCK)
  const program = findInPath(VHOST_USER_VSOCK) ?? (existsSync(elsewhere) ? elsewhere : undefined)
  return program === undefined ? { reason: `${VHOST_USER_VSOCK} is not installed` } : { program, reason: '' }
}

export function vhostUserVsockSockets(directory: string) {
  return {
    /** QEMU's way to it. */
    device: join(directory, 'vhost.sock'),
    /** The client's way into the guest. */
    guest: join(directory, 'vsock.sock'),
  }
}

export function vhostUserVsockCommand({ program, directory }: Omit<VhostUserVsockOptions, 'detached'>): {
  command: string
  args: string[]
} {
  const { device, guest } = vhostUserVsockSockets(directory)
  return { command: program, args: [`--guest-cid=${GUEST_CID}`, `--socket=${device}`, `--uds-path=${guest}`] }
}

/** Resolves when QEMU can connect to it. Throws CpuError ERR_CPU_VM_SPAWN. */
export async function startVhostUserVsock(options: VhostUserVsockOptions): Promise<VhostUserVsock> {
  const { directory, detached } = options
  const { device, guest } = vhostUserVsockSockets(directory)
  for (const socket of [device, guest]) await rm(socket, { force: true })
  const logFile = join(directory, `${VHOST_USER_VSOCK}.log`)
  const daemon = await startDaemon({ ...vhostUserVsockCommand(options), logFile, detached })
  let hasEnded = false
  void daemon.ended.then(() => {
    hasEnded = true
  })
  const limit = performance.now() + LISTEN_LIMIT_MS
  // Not by connecting: the first who does is its machine.
  while (!isListening(device)) {
    if (hasEnded || performance.now() > limit) {
      throw new CpuError(
        'ERR_CPU_VM_SPAWN',
        `${VHOST_USER_VSOCK} does not come up: ${lastLine(logFile) ?? 'it says nothing'}`,
        { remedy: 'use -net tcp' },
      )
    }
    await sleep(RETRY_MS)
  }
  return { daemon, logFile }
}

/** linux/net.h: __SO_ACCEPTCON, as proc(5) shows flags. */
const LISTENING = '00010000'

function isListening(path: string): boolean {
  const lines = readFileSync('/proc/net/unix', 'utf8').split('\n')
  return lines.some(line => line.endsWith(` ${path}`) && line.split(' ')[3] === LISTENING)
}
