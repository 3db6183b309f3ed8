// Whose files a guest has for its root file system: `-root none`, where it has only its initramfs, or a directory of this
// machine's, of which nothing can be changed: `-root virtiofs[=DIR]`, `-root 9p[=DIR]`. src/cpud/init-root.ts mounts it.

import { realpath, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { GuestRoot } from '../src/cpud/guest-config.js'
import { CpuError, UsageError } from '../src/errors.js'
import type { Kernel } from './kernel.js'
import type { ModuleTree } from './modules.js'
import type { Share } from './virtiofsd.js'

export type RootType = GuestRoot['type']

export interface RootOptions {
  readonly type: RootType
  /** A directory; relative to the current one. Default `/`. */
  readonly hostPath?: string | undefined
}

/** With everything decided. */
export interface Root {
  readonly type: RootType
  readonly hostPath: string
}

/** Of the file system that the guest finds it by. */
export const ROOT_TAG = 'cpu-root'

const FORM = /^(virtiofs|9p)(?:=(.+))?$/s

/** `none`, or `virtiofs` or `9p`, and either with `=DIR`. Throws UsageError. */
export function parseRoot(text: string): RootOptions | undefined {
  if (text === 'none') return undefined
  const [, type, hostPath] = FORM.exec(text) ?? []
  if (type === 'virtiofs' || type === '9p') return hostPath === undefined ? { type } : { type, hostPath }
  throw new UsageError(
    `invalid root ${JSON.stringify(text)}`,
    'write -root virtiofs or -root 9p, with =DIR for another directory than /, or -root none',
  )
}

/** The same with its path as seen from a directory. */
export function locateRoot(text: string, directory: string): string {
  const [, type, hostPath] = FORM.exec(text) ?? []
  return hostPath === undefined ? text : `${type}=${resolve(directory, hostPath)}`
}

/** Throws UsageError, and CpuError ERR_CPU_VM_ROOT for a kernel that cannot have it. */
export async function decideRoot(
  wanted: RootOptions | undefined,
  kernel: Kernel,
  tree: ModuleTree,
): Promise<Root | undefined> {
  if (wanted === undefined) return undefined
  const { type, hostPath = '/' } = wanted
  const path = await realpath(hostPath).catch(() => undefined)
  if (path === undefined || !(await stat(path)).isDirectory())
    throw new UsageError(`no such directory for a root: ${hostPath}`, `write -root ${type}=DIR`)
  const lacking = whatIsLacking(type, kernel, tree)
  if (lacking === undefined) return { type, hostPath: path }
  throw new CpuError('ERR_CPU_VM_ROOT', `kernel ${kernel.release} has no ${lacking.what}`, {
    remedy: `build it with ${lacking.option}, or use -root ${lacking.instead}`,
  })
}

function whatIsLacking(type: RootType, { features, modulesDirectory }: Kernel, tree: ModuleTree) {
  const isMissing = (name: string) => modulesDirectory !== undefined && tree.presence(name) === 'absent'
  if (type === 'virtiofs' && features.virtiofs === 'absent')
    return { what: 'virtiofs', option: 'CONFIG_VIRTIO_FS', instead: '9p' }
  if (type === '9p' && (features['9p'] === 'absent' || isMissing('9pnet_virtio')))
    return {
      what: '9P over virtio',
      option: 'CONFIG_9P_FS and CONFIG_NET_9P_VIRTIO',
      instead: 'virtiofs',
    }
  if (isMissing('overlay')) return { what: 'overlayfs', option: 'CONFIG_OVERLAY_FS', instead: 'none' }
  return undefined
}

/** What virtiofsd shares for it. */
export function rootShares(root: Root | undefined): Share[] {
  if (root?.type !== 'virtiofs') return []
  return [{ tag: ROOT_TAG, hostPath: root.hostPath, readOnly: true, cache: 'auto' }]
}
