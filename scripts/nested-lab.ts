// The nested lab: a machine whose KVM and vhost-vsock work, emulated, with this very project in it. In it the
// launcher does what it does on users' machines. The outer guest gets this host's files by virtiofs.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type Machine, startMachine } from '../qemu/index.js'
import { formatFstab } from '../src/fstab/format.js'
import { packageRoot } from '../src/version.js'

export interface NestedLab extends AsyncDisposable {
  readonly outer: Machine
  /** Flags of `cpu` for the outer guest: this host's programs and this project, read-only, by virtiofs. */
  readonly flags: readonly string[]
  /** Mounts them, for sessions within. */
  readonly fstabFile: string
  /** Where a file of this host is found in the outer guest's sessions. */
  there(hostPath: string): string
  /** A command to be run there, in this project's directory. */
  command(argv: readonly string[], environment?: Readonly<Record<string, string>>): string[]
}

const OUTER_MEMORY_MIB = 3072 // for one guest with the launcher's 1024
const HOST_MOUNT = '/host'

export interface NestedLabOptions {
  readonly memoryMiB?: number
  readonly onMessage?: (line: string) => void
  readonly signal?: AbortSignal
}

/** Boots the outer guest. */
export async function startNestedLab(options: NestedLabOptions = {}): Promise<NestedLab> {
  const outer = await startMachine({
    name: `outer-${process.pid}`,
    nested: true,
    memoryMiB: OUTER_MEMORY_MIB,
    net: 'tcp',
    shares: [{ tag: 'host', hostPath: '/', readOnly: true }],
    ...options,
  })
  const directory = mkdtempSync(path.join(os.tmpdir(), 'nested-'))
  const fstabFile = path.join(directory, 'fstab')
  writeFileSync(fstabFile, labFstab())
  return {
    outer,
    flags: ['-9p=false', '-fstab', fstabFile],
    fstabFile,
    there: hostPath => HOST_MOUNT + hostPath,
    command(argv, environment = {}) {
      const there = { XDG_RUNTIME_DIR: '/run', XDG_CACHE_HOME: cacheHome(), ...environment }
      const variables = Object.entries(there).map(([key, value]) => `${key}=${value}`)
      return ['env', '-C', packageRoot(), ...variables, ...argv]
    },
    async [Symbol.asyncDispose]() {
      await outer.close()
      rmSync(directory, { recursive: true })
    },
  }
}

function cacheHome(): string {
  return process.env['XDG_CACHE_HOME'] ?? path.join(os.homedir(), '.cache')
}

/** The host's root as a whole, and from it what a program of the host's needs in its place. */
function labFstab(): string {
  const nodePrefix = path.resolve(path.dirname(process.execPath), '..')
  const places = new Set(['/usr', '/bin', '/lib', '/lib64', '/etc', nodePrefix, cacheHome(), packageRoot()])
  return formatFstab([
    { source: 'host', target: HOST_MOUNT, type: 'virtiofs', options: 'ro' },
    ...[...places].map(place => ({
      source: `${HOST_MOUNT}${place}`,
      target: place,
      type: 'none',
      options: 'bind',
    })),
  ])
}
