// One virtiofsd per share. Its socket is bound here and handed down, so nobody has to wait for it to appear, and
// nobody connects to it but QEMU: virtiofsd serves one connection in its life.

import { existsSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { CpuError, UsageError } from '../src/errors.js'
import { type Daemon, startDaemon } from './daemon-process.js'

export interface VirtiofsdProgram {
  readonly path: string
  /** QEMU's own in C, up to QEMU 7.2, or the one in Rust that followed. */
  readonly kind: 'c' | 'rust'
}

export type Sandbox = 'namespace' | 'chroot' | 'none'

/** How long the guest's kernel keeps what it has seen: not at all, for a second, or always. */
export const SHARE_CACHES = ['never', 'auto', 'always'] as const

export type ShareCache = (typeof SHARE_CACHES)[number]

export interface Share {
  readonly tag: string
  readonly hostPath: string
  readonly readOnly: boolean
  readonly cache: ShareCache
}

export interface VirtiofsdOptions {
  readonly program: VirtiofsdProgram
  readonly sandbox: Sandbox
  readonly share: Share
  /** For socket and log. */
  readonly directory: string
  readonly detached: boolean
}

export interface Virtiofsd {
  readonly share: Share
  readonly socket: string
  readonly logFile: string
  readonly daemon: Daemon
}

/** In the order in which they are looked for. */
export const VIRTIOFSD_PROGRAMS: readonly VirtiofsdProgram[] = [
  { path: '/usr/libexec/virtiofsd', kind: 'rust' },
  { path: '/usr/lib/virtiofsd', kind: 'rust' },
  { path: '/usr/lib/qemu/virtiofsd', kind: 'c' },
]

/** The virtiofsd of this machine, if it has one. */
export function findVirtiofsd(): VirtiofsdProgram | undefined {
  return VIRTIOFSD_PROGRAMS.find(({ path }) => existsSync(path))
}

/** Where QEMU finds the virtiofsd of a share. */
export function shareSocket(directory: string, { tag }: Pick<Share, 'tag'>): string {
  return join(directory, `virtiofs-${encodeURIComponent(tag)}.sock`)
}

/** Starts virtiofsd for one share. Throws CpuError ERR_CPU_VM_SPAWN. */
export async function startVirtiofsd(options: VirtiofsdOptions): Promise<Virtiofsd> {
  const { share, directory } = options
  const socket = shareSocket(directory, share)
  const logFile = join(directory, `virtiofsd-${encodeURIComponent(share.tag)}.log`)
  const listener = await listen(socket)
  try {
    const { command, args } = virtiofsdCommand(options)
    const daemon = await startDaemon({
      command,
      args,
      logFile,
      stdin: descriptor(listener),
      detached: options.detached,
    })
    return { share, socket, logFile, daemon }
  } finally {
    await close(listener)
  }
}

/** The socket is descriptor 0: the only inherited one that Node makes blocking, which virtiofsd's accept needs. */
export function virtiofsdCommand(options: Pick<VirtiofsdOptions, 'program' | 'sandbox' | 'share'>): {
  command: string
  args: string[]
} {
  const { program, sandbox, share } = options
  if (program.kind === 'rust') {
    const readOnly = share.readOnly ? ['--readonly'] : []
    const args = [
      '--fd=0',
      `--shared-dir=${share.hostPath}`,
      `--cache=${share.cache}`,
      `--sandbox=${sandbox}`,
      ...readOnly,
    ]
    return { command: program.path, args }
  }
  const source = share.hostPath.replaceAll('\\', '\\\\').replaceAll(',', '\\,')
  const cache = share.cache === 'never' ? 'none' : share.cache
  const args = ['--fd=0', '-f', '-o', `source=${source}`, '-o', `cache=${cache}`, '-o', `sandbox=${sandbox}`]
  return share.readOnly ? readOnlyView(share.hostPath, program.path, args) : { command: program.path, args }
}

/**
 * The virtiofsd in C cannot share read-only; in a mount namespace of its own it sees a read-only bind mount. Of `/` it sees
 * all that is mounted below, too, and each of these is made read-only, but what not even root can get at.
 */
function readOnlyView(
  directory: string,
  command: string,
  args: readonly string[],
): { command: string; args: string[] } {
  const bind = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"'
  const all =
    'findmnt -nlo TARGET | while IFS= read -r at; do mount -o remount,bind,ro "$at"; done; mount -o remount,bind,ro /'
  const script = `${directory === '/' ? all : bind} && shift && exec "$@"`
  return {
    command: 'unshare',
    args: ['--mount', '--', 'sh', '-c', script, 'sh', directory, command, ...args],
  }
}

/** Throws UsageError for a tag that virtiofs cannot have. */
export function checkTag(tag: string): string {
  if (/^[^\s/,]+$/.test(tag) && Buffer.byteLength(tag) <= 36) return tag
  throw new UsageError(
    `invalid share tag ${JSON.stringify(tag)}`,
    'use 1 to 36 characters, no blanks, slashes or commas',
  )
}

/**
 * A listening socket at `path`. It is moved there after bind: when Node closes its own descriptor it unlinks the
 * name that it bound, and the socket must stay for QEMU.
 */
async function listen(path: string): Promise<Server> {
  await rm(path, { force: true })
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(`${path}.new`, resolve)
  })
  await rename(`${path}.new`, path)
  return server
}

/** Node has no public name for it; a server without one cannot be handed to another program. */
function descriptor(server: Server): number {
  const { fd } = (server as unknown as { readonly _handle: { readonly fd: number } })._handle
  if (Number.isInteger(fd) && fd >= 0) return fd
  throw new CpuError(
    'ERR_CPU_VM_SPAWN',
    'this version of Node does not tell the descriptor of a listening socket',
  )
}

function close(server: Server): Promise<void> {
  return new Promise(resolve => void server.close(() => resolve()))
}
