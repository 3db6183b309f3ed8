// Which files of /lib/modules/RELEASE a guest needs, in the order in which they must be loaded. Dependencies
// come from modules.dep, or, in a package that was unpacked and never installed, from the modules themselves.

import { existsSync, readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { moduleName, parseModulesDep } from '../src/linux/modules-dep.js'
import { decompress } from './decompress.js'
import { elfSection } from './elf.js'

/** What guests of ours use: PCI and its virtio devices, 9P, virtiofs, vsock, overlay. */
export const GUEST_MODULES: readonly string[] = [
  'virtio_pci',
  'virtio_net',
  'virtio_blk',
  '9pnet_fd',
  '9pnet_virtio',
  '9p',
  'vsock',
  'vmw_vsock_virtio_transport',
  'vsock_loopback',
  'fuse',
  'virtiofs',
  'overlay',
]

/** What makes a guest a host of guests. */
export const NESTED_MODULES: readonly string[] = ['kvm-amd', 'kvm-intel', 'vhost_vsock']

/** What is in the image of every machine. */
export const BASE_MODULES: readonly string[] = [...GUEST_MODULES, ...NESTED_MODULES]

export interface ModuleFile {
  /** With underscores, as /proc/modules shows it. */
  readonly name: string
  /** On this machine; `.ko`, `.ko.xz`, `.ko.zst` or `.ko.gz`. */
  readonly path: string
  /** Names of all that must be loaded before, in that order. */
  readonly dependencies: readonly string[]
}

export interface ModulePlan {
  /** Dependencies first. */
  readonly files: readonly ModuleFile[]
  /** Wanted, and part of the kernel itself. */
  readonly builtin: readonly string[]
  /** Wanted, and nowhere. */
  readonly missing: readonly string[]
}

interface Entry {
  /** Its file; undefined for one that is listed, and not there. Of a tree of thousands, few are looked for. */
  find(): string | undefined
  /** What it cannot be loaded without, then what it asks for when it runs; undefined while that is not known. */
  dependencies: readonly string[] | undefined
}

/** The modules of one kernel. */
export class ModuleTree {
  readonly #entries = new Map<string, Entry>()
  readonly #builtin: ReadonlySet<string>

  /** `directory` is lib/modules/RELEASE, or where a kernel was built; undefined stands for a kernel without modules. */
  constructor(directory: string | undefined) {
    this.#builtin = new Set(
      directory === undefined ? [] : lines(join(directory, 'modules.builtin')).map(moduleName),
    )
    if (directory === undefined) return
    if (existsSync(join(directory, 'modules.dep'))) this.#readDependencies(directory)
    else this.#readOrder(directory)
  }

  /** Of all that are files, with underscores. */
  get names(): string[] {
    return [...this.#entries.keys()].filter(name => this.path(name) !== undefined)
  }

  /** Of all that are part of the kernel itself. */
  get builtin(): string[] {
    return [...this.#builtin]
  }

  /** Where a module's file is on this machine. */
  path(name: string): string | undefined {
    return this.#entries.get(moduleName(name))?.find()
  }

  /** How the kernel has a module. */
  presence(name: string): 'builtin' | 'module' | 'absent' {
    const wanted = moduleName(name)
    if (this.#builtin.has(wanted)) return 'builtin'
    return this.path(wanted) === undefined ? 'absent' : 'module'
  }

  /** The files for `wanted` and all that they depend on. */
  async plan(wanted: readonly string[]): Promise<ModulePlan> {
    const files = new Map<string, ModuleFile>()
    const builtin: string[] = []
    const missing: string[] = []
    for (const name of wanted) {
      const presence = this.presence(name)
      if (presence === 'builtin') builtin.push(name)
      else if (presence === 'absent') missing.push(name)
      else await this.#collect(moduleName(name), files)
    }
    return { files: [...files.values()], builtin, missing }
  }

  async #collect(name: string, files: Map<string, ModuleFile>): Promise<void> {
    const entry = this.#entries.get(name)
    const path = entry?.find()
    if (files.has(name) || entry === undefined || path === undefined) return
    entry.dependencies ??= moduleDependencies(await readModule(path))
    const before = new Set<string>()
    for (const named of entry.dependencies) {
      const dependency = this.#known(named)
      await this.#collect(dependency, files)
      const file = files.get(dependency)
      if (file !== undefined) for (const needed of [...file.dependencies, dependency]) before.add(needed)
    }
    files.set(name, { name, path, dependencies: [...before] })
  }

  /** Some ask for an algorithm by a name that several modules have, such as `crypto-crc32c`: the one that runs everywhere. */
  #known(name: string): string {
    const algorithm = name.replace(/^crypto_/, '')
    return [name, `${algorithm}_generic`, algorithm].find(known => this.path(known) !== undefined) ?? name
  }

  #readDependencies(directory: string): void {
    const soft = softDependencies(lines(join(directory, 'modules.softdep')))
    for (const [name, { path, dependencies }] of parseModulesDep(
      readFileSync(join(directory, 'modules.dep'), 'utf8'),
    ))
      this.#entries.set(name, {
        find: () => join(directory, path),
        dependencies: [...dependencies, ...(soft.get(name) ?? [])],
      })
  }

  #readOrder(directory: string): void {
    for (const line of lines(join(directory, 'modules.order')))
      this.#entries.set(moduleName(line.replace(/\.o$/, '.ko')), {
        find: () =>
          orderedFiles(line)
            .map(path => join(directory, path))
            .find(existsSync),
        dependencies: undefined,
      })
  }
}

/** Where a kernel was built, there is no `kernel/`, which older ones name all the same, and newer ones name objects. */
function orderedFiles(line: string): string[] {
  const path = line.replace(/\.o$/, '.ko')
  return [path, `${path}.xz`, `${path}.zst`, `${path}.gz`, path.replace(/^kernel\//, '')]
}

/** The module as the kernel wants it: never compressed, since not every kernel decompresses modules. */
export async function readModule(path: string): Promise<Buffer> {
  return decompress(await readFile(path), path)
}

/** What modprobe(8), and PID 1 of ours, reads in the directory where the files lie as `NAME.ko`. */
export function modulesDep(files: readonly ModuleFile[]): string {
  const file = (name: string) => `${name}.ko`
  // The last one named is loaded first.
  return files
    .map(({ name, dependencies }) => `${file(name)}: ${dependencies.toReversed().map(file).join(' ')}`.trim())
    .map(line => `${line}\n`)
    .join('')
}

/** The names in the line `depends=` that the kernel's build puts into a module, and in its own `softdep=pre:`. */
export function moduleDependencies(module: Buffer): string[] {
  const information = elfSection(module, '.modinfo')?.toString('latin1').split('\0') ?? []
  const line = information.find(text => text.startsWith('depends='))
  const hard = (line ?? '').slice('depends='.length).split(',').filter(Boolean).map(moduleName)
  return [...hard, ...information.flatMap(text => softNames(text, /^softdep=.*?pre: ?(.*?)(?: post:|$)/))]
}

/** modules.softdep: `softdep ext4 pre: crypto-crc32c`. */
function softDependencies(softdep: readonly string[]): Map<string, string[]> {
  const soft = new Map<string, string[]>()
  for (const line of softdep) {
    const [, name] = /^softdep (\S+)/.exec(line) ?? []
    if (name !== undefined) soft.set(moduleName(name), softNames(line, /pre: ?(.*?)(?: post:|$)/))
  }
  return soft
}

function softNames(text: string, pattern: RegExp): string[] {
  const [, names = ''] = pattern.exec(text) ?? []
  return names.split(' ').filter(Boolean).map(moduleName)
}

function lines(path: string): string[] {
  if (!existsSync(path)) return []
  return readFileSync(path, 'utf8').split('\n').filter(Boolean)
}
