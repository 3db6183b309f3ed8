// Which programs and libraries of a guest's image come from where: from this machine for a guest of its own architecture,
// else from foreign-parts.ts.

import { realpath } from 'node:fs/promises'
import { type Architecture, isForeign } from './architecture.js'
import { APPLETS } from './busybox-applets.js'
import type { CpioEntry } from './cpio.js'
import type { ToolOptions } from './debian-tools.js'
import { foreignParts } from './foreign-parts.js'
import { sharedLibraries } from './libraries.js'
import { startupSnapshot } from './startup-snapshot.js'
import { withStripped } from './strip.js'

export interface GuestParts {
  /** Gives `use` Node without its symbols, for as long as it runs. */
  withNode<T>(use: (path: string) => Promise<T>): Promise<T>
  /** By their places in the guest. */
  readonly libraries: Readonly<Record<string, string>>
  /** cpud and native modules. */
  readonly bundle: readonly string[]
  /** Undefined where this machine's Node is another. */
  readonly startupSnapshot: typeof startupSnapshot | undefined
  /** What the guest has because it cannot run the user's. */
  readonly programs: readonly CpioEntry[]
  /** Large files that make another image when they are others. */
  readonly inputs: readonly string[]
}

/** `bundle` has the paths of cpud and of this machine's native modules. Throws as `sharedLibraries` and `foreignParts`. */
export async function guestParts(
  architecture: Architecture,
  bundle: readonly string[],
  options: ToolOptions,
): Promise<GuestParts> {
  return isForeign(architecture) ? foreign(architecture, bundle, options) : own(bundle)
}

async function own(bundle: readonly string[]): Promise<GuestParts> {
  const node = await realpath(process.execPath)
  const libraries = await sharedLibraries([node, ...bundle.filter(isNative)])
  return {
    withNode: use => withStripped(node, use),
    libraries: Object.fromEntries(libraries.map(path => [path, path])),
    bundle,
    startupSnapshot,
    programs: [],
    inputs: [node, ...libraries],
  }
}

/** Without ssh2's ciphers: those of Node do. */
async function foreign(
  architecture: Architecture,
  bundle: readonly string[],
  options: ToolOptions,
): Promise<GuestParts> {
  const { node, addon, busybox, libraries } = await foreignParts(architecture, options)
  return {
    withNode: use => use(node),
    libraries,
    bundle: [...bundle.filter(path => !isNative(path)), addon],
    startupSnapshot: undefined,
    programs: [
      { type: 'copy', path: 'bin/busybox', from: busybox, mode: 0o755 },
      ...APPLETS.map((name): CpioEntry => ({ type: 'symlink', path: `bin/${name}`, target: 'busybox' })),
      // Not every PATH has /bin.
      { type: 'symlink', path: 'usr/bin', target: '../bin' },
    ],
    inputs: [node, busybox, ...Object.values(libraries)],
  }
}

function isNative(path: string): boolean {
  return path.endsWith('.node')
}
