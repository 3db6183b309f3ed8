// Finds and loads the addon: the only importer of the .node file. Every src/native/*.ts calls system
// calls through `binding` and turns their results into errors with `check`.

import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CpuError, SystemError } from '../errors.js'
import { errnoDescription, errnoName } from '../linux/errno.js'
import type { FilesBinding } from './files-binding.js'
import type { FuseBinding } from './fuse-binding.js'
import type { MountBinding } from './mount-binding.js'
import type { PollingBinding } from './polling-binding.js'
import type { PtyBinding } from './pty-binding.js'
import type { SpawnBinding } from './spawn-binding.js'
import type { StreamBinding } from './stream-binding.js'
import type { SystemBinding } from './system-binding.js'
import type { VsockBinding } from './vsock-binding.js'
import type { WatchBinding } from './watch-binding.js'

/** All native functions; each family's interface says what they return. */
export type Binding = StreamBinding &
  PollingBinding &
  VsockBinding &
  PtyBinding &
  SpawnBinding &
  MountBinding &
  SystemBinding &
  FilesBinding &
  WatchBinding &
  FuseBinding

const fileName = 'cpu_harness.node'

/** This script: the bundle, where there is one, or this file. */
function ownPath(): string {
  // A CommonJS bundle has no import.meta.url. __filename cannot come first: in `node -e` it is a global,
  // '[eval]'.
  const url: string | undefined = import.meta.url
  return url === undefined ? __filename : fileURLToPath(url)
}

function packageRoot(from: string): string | undefined {
  for (let folder = from; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json'))) return folder
    if (folder === dirname(folder)) return undefined
  }
}

/**
 * Where the addon may be, best first. A path in $CPU_HARNESS_ADDON is the only one: it is never passed over.
 */
export function addonCandidates(
  environment: NodeJS.ProcessEnv = process.env,
  from = dirname(ownPath()),
): string[] {
  const { CPU_HARNESS_ADDON: chosen } = environment
  if (chosen) return [chosen]
  const root = packageRoot(from)
  return [
    join(from, fileName),
    ...(root === undefined
      ? []
      : [
          join(root, 'prebuilds', `${process.platform}-${process.arch}`, fileName),
          join(root, 'build', 'Release', fileName),
        ]),
  ]
}

/**
 * Loads the first candidate that is there and fits. Throws ERR_CPU_NATIVE_MISSING, which lists what was
 * tried.
 */
export function loadAddon(candidates: readonly string[]): Binding {
  const tried: string[] = []
  let cause: unknown
  for (const path of candidates) {
    if (!existsSync(path)) {
      tried.push(`${path} (no such file)`)
      continue
    }
    try {
      return load(path)
    } catch (error) {
      cause = error
      tried.push(`${path} (${error instanceof Error ? error.message : String(error)})`)
    }
  }
  throw new CpuError('ERR_CPU_NATIVE_MISSING', `native addon not loaded, tried ${tried.join(', ')}`, {
    cause,
    remedy: 'build it with: npx node-gyp rebuild; or name a built one in CPU_HARNESS_ADDON',
  })
}

/** As `require` does, which what was started from a snapshot has for Node's own modules alone. */
function load(path: string): Binding {
  const module = { exports: {} }
  process.dlopen(module, path)
  return module.exports as Binding
}

let loaded: Binding | undefined

/** ERR_CPU_NATIVE_MISSING where there can be no addon. */
function linuxOnly(name: string): CpuError {
  return new CpuError(
    'ERR_CPU_NATIVE_MISSING',
    `${name} is a native call that only Linux has, and this is ${process.platform}`,
    { remedy: 'use tcp, unix or unix-vsock addresses; vsock, cpud and virtual machines need Linux' },
  )
}

/**
 * The addon, loaded when a function of it is first looked up, so that what needs no system call (`-help`)
 * works without it. Afterwards its functions are own properties, as fast to find as any. Looking one up throws
 * ERR_CPU_NATIVE_MISSING when it can not be loaded.
 */
export const binding: Binding = Object.create(
  new Proxy(
    {},
    {
      get(_target, name) {
        if (!loaded) {
          if (process.platform !== 'linux') throw linuxOnly(String(name))
          loaded = loadAddon(addonCandidates())
          Object.defineProperties(binding, Object.getOwnPropertyDescriptors(loaded))
        }
        return Reflect.get(loaded, name)
      },
    },
  ),
)

/** A SystemError for an errno, which may be given negative or positive. */
export function systemError(errno: number, syscall: string, subject: string): SystemError {
  const number = Math.abs(errno)
  return new SystemError(errnoName(number), -number, errnoDescription(number), syscall, subject)
}

/**
 * Returns the result of a native function; throws a SystemError that names the subject if it is a negative
 * errno.
 */
export function check(result: number, syscall: string, subject: string): number {
  if (result < 0) throw systemError(result, syscall, subject)
  return result
}
