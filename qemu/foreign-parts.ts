// What a guest of another architecture gets in place of this machine's own: Node from its package on npm's registry,
// libraries and busybox from Debian's packages, and the addon, by a compiler for that architecture. All of it stays in the
// cache.

import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { execa } from 'execa'
import { CpuError } from '../src/errors.js'
import { isInPath } from '../src/in-path.js'
import { packageRoot } from '../src/version.js'
import { type Architecture, platforms } from './architecture.js'
import { cacheDirectory, cached, pruneCache } from './cache.js'
import { releaseCodename } from './debian-lists.js'
import { downloadAndUnpack, openLists } from './debian-package.js'
import type { ToolOptions } from './debian-tools.js'
import { withStripped } from './strip.js'

export interface ForeignParts {
  /** Stripped. */
  readonly node: string
  readonly addon: string
  /** Linked statically. */
  readonly busybox: string
  /** What Node needs, and with it the addon, by their places in the guest. */
  readonly libraries: Readonly<Record<string, string>>
}

/** Increased whenever the same inputs give other parts. */
const LAYOUT = 1
const KEEP = 4
const NPM_LIMIT_MS = 15 * 60_000
const COMPILER_LIMIT_MS = 10 * 60_000
const TOOL_LIMIT_MS = 120_000

const PACKAGES = ['libc6', 'libgcc-s1', 'libstdc++6', 'busybox-static']

/** In the cache: the places of the libraries. */
const LIBRARIES = 'libraries.json'
const ADDON = 'cpu_harness.node'

/** What binding.gyp and node-gyp say of this machine's, but for warnings. */
export const ADDON_FLAGS: readonly string[] = [
  ...['-shared', '-fPIC', '-pthread', '-s', '-O2', '-fvisibility=hidden'],
  ...['-std=c++17', '-fno-exceptions', '-fno-rtti'],
  ...['NAPI_VERSION=8', 'NODE_ADDON_API_DISABLE_DEPRECATED', 'NAPI_DISABLE_CPP_EXCEPTIONS', '_GNU_SOURCE']
    .concat('NODE_GYP_MODULE_NAME=cpu_harness', 'BUILDING_NODE_EXTENSION')
    .map(name => `-D${name}`),
]

/** Fetches and builds what is not in the cache. Throws CpuError ERR_CPU_VM_FOREIGN. */
export async function foreignParts(
  architecture: Architecture,
  options: ToolOptions = {},
): Promise<ForeignParts> {
  const places = join(cacheDirectory(), 'foreign')
  requireCompiler(architecture)
  const name = [architecture, LAYOUT, process.versions.node, await codename()].join('-')
  const root = await cached(join(places, name), async temporary => {
    await mkdir(temporary, { mode: 0o700 })
    await fetchNode(architecture, temporary, options)
    await fetchPackages(architecture, join(temporary, 'root'), options)
    const needed = await neededLibraries(join(temporary, 'node'), join(temporary, 'root'), architecture)
    await writeFile(join(temporary, LIBRARIES), JSON.stringify(needed))
  })
  const addon = await foreignAddon(architecture, root, places, options)
  await pruneCache(places, KEEP)
  const libraries: string[] = JSON.parse(await readFile(join(root, LIBRARIES), 'utf8'))
  return {
    node: join(root, 'node'),
    addon,
    busybox: join(root, 'root/bin/busybox'),
    libraries: Object.fromEntries(libraries.map(path => [path, join(root, 'root', path)])),
  }
}

async function codename(): Promise<string> {
  return releaseCodename().catch(cause => {
    throw foreignError('what guests of other architectures need comes from Debian', cause)
  })
}

function foreignError(message: string, cause: unknown, remedy?: string): CpuError {
  return new CpuError('ERR_CPU_VM_FOREIGN', message, { cause, remedy })
}

/** `node` and its `include`, in the version of this one, or the newest of its major one. npm checks it by its checksum. */
async function fetchNode(architecture: Architecture, target: string, options: ToolOptions): Promise<void> {
  const packed = join(target, 'packed')
  await mkdir(packed)
  const { node: version } = process.versions
  const name = `node-linux-${platforms[architecture].node}`
  options.onProgress?.(`downloading ${name} ${version} with npm`)
  const pack = (wanted: string) =>
    tool(
      'npm',
      ['pack', '--loglevel=error', '--pack-destination', packed, `${name}@${wanted}`],
      NPM_LIMIT_MS,
      options,
      packed,
    )
  const exact = await pack(version)
  if (exact.code === 'ENOENT') throw foreignError(`no npm on this machine, which fetches ${name}`, exact)
  const isUnknown = npmError(exact) === 'ETARGET'
  const result = isUnknown ? await pack(`^${version.split('.')[0]}`) : exact
  const [archive] = readdirSync(packed)
  if (result.failed || archive === undefined) {
    throw foreignError(
      `npm cannot fetch ${name} (${npmError(result)})`,
      result,
      'check the network, and npm config get registry',
    )
  }
  const unpacked = await tool('tar', ['-xzf', archive], TOOL_LIMIT_MS, options, packed)
  if (unpacked.failed) throw foreignError(`tar cannot unpack ${archive}`, unpacked)
  const from = join(packed, 'package')
  await withStripped(
    join(from, 'bin/node'),
    stripped => copyFile(stripped, join(target, 'node')),
    [],
    compilerTool(architecture, 'strip'),
  )
  await rename(join(from, 'include'), join(target, 'include'))
  await rm(packed, { recursive: true })
}

function npmError({ stderr }: Result): string | undefined {
  return /^npm \S+ code (\S+)/m.exec(stderr)?.[1]
}

async function fetchPackages(
  architecture: Architecture,
  target: string,
  options: ToolOptions,
): Promise<void> {
  const { debian } = platforms[architecture]
  try {
    const lists = await openLists({ backports: false, architecture: debian }, options)
    options.onProgress?.(`downloading ${PACKAGES.join(', ')} for ${debian}`)
    await downloadAndUnpack(PACKAGES, target, options, lists)
  } catch (cause) {
    options.signal?.throwIfAborted()
    if (!(cause instanceof CpuError)) throw cause
    throw foreignError(`cannot fetch packages for ${debian}: ${cause.message}`, cause, 'check the network')
  }
}

/** The one that was shipped, or one made here of the sources. */
async function foreignAddon(
  architecture: Architecture,
  root: string,
  places: string,
  options: ToolOptions,
): Promise<string> {
  const shipped = shippedAddon(architecture)
  if (existsSync(shipped)) return shipped
  const directory = join(packageRoot(), 'addon')
  const sources = readdirSync(directory).sort()
  const hash = createHash('sha256').update(JSON.stringify([ADDON_FLAGS, process.versions.node]))
  for (const source of sources) hash.update(readFileSync(join(directory, source)))
  const key = `${architecture}-addon-${hash.digest('hex').slice(0, 32)}`
  const built = await cached(join(places, key), async temporary => {
    await mkdir(temporary, { mode: 0o700 })
    options.onProgress?.(`building the addon for ${architecture}`)
    const compiler = compilerTool(architecture, 'g++')
    const args = [
      ...ADDON_FLAGS,
      ...['-I', join(root, 'include/node'), '-I', packageDirectory('node-addon-api')],
      ...['-o', join(temporary, ADDON)],
      ...sources.filter(source => source.endsWith('.cc')).map(source => join(directory, source)),
    ]
    const result = await tool(compiler, args, COMPILER_LIMIT_MS, options)
    if (!result.failed) return
    const said = result.stderr.split('\n').find(line => /error/i.test(line)) ?? result.shortMessage
    throw foreignError(`${compiler} cannot build the addon: ${said}`, result)
  })
  return join(built, ADDON)
}

/** As Node looks for it. */
function packageDirectory(name: string): string {
  for (let folder = packageRoot(); ; folder = dirname(folder)) {
    const found = join(folder, 'node_modules', name)
    if (existsSync(found) || folder === dirname(folder)) return found
  }
}

/** Their paths below `root`, as ld.so(8) looks for them: by their names, in the directories of that architecture. */
async function neededLibraries(node: string, root: string, architecture: Architecture): Promise<string[]> {
  const directories = [`/lib/${architecture}-linux-gnu`, `/usr/lib/${architecture}-linux-gnu`]
  const locate = (name = '') =>
    directories.map(directory => `${directory}/${name}`).find(path => existsSync(join(root, path)))
  const found = new Set<string>()
  const pending = [node]
  for (let program = pending.pop(); program !== undefined; program = pending.pop()) {
    const result = await tool('readelf', ['-dlW', program], TOOL_LIMIT_MS, {})
    if (result.failed) throw foreignError(`readelf fails for ${program}`, result, 'apt-get install binutils')
    const needed = [...result.stdout.matchAll(/\(NEEDED\).*\[(.+)\]/g)].map(([, name]) => locate(name))
    const [, loader] = /program interpreter: (.+)\]/.exec(result.stdout) ?? []
    for (const path of [...needed, loader]) {
      if (path === undefined || found.has(path)) continue
      found.add(path)
      pending.push(join(root, path))
    }
  }
  return [...found]
}

function compilerTool(architecture: Architecture, name: string): string {
  return `${architecture}-linux-gnu-${name}`
}

function shippedAddon(architecture: Architecture): string {
  return join(packageRoot(), 'prebuilds', `linux-${platforms[architecture].node}`, ADDON)
}

/** The package of the compiler that is needed and not there. */
export function missingCompiler(architecture: Architecture): string | undefined {
  const isNeeded = !existsSync(shippedAddon(architecture)) && !isInPath(compilerTool(architecture, 'g++'))
  return isNeeded ? `g++-${architecture.replace('_', '-')}-linux-gnu` : undefined
}

/** Before anything is downloaded for nothing. */
function requireCompiler(architecture: Architecture): void {
  const missing = missingCompiler(architecture)
  if (missing === undefined) return
  throw foreignError(
    `no ${compilerTool(architecture, 'g++')} on this machine, which builds the addon for guests of ${architecture}`,
    undefined,
    `apt-get install ${missing}`,
  )
}

type Result = Awaited<ReturnType<typeof tool>>

async function tool(
  command: string,
  args: readonly string[],
  timeoutMs: number,
  { signal }: ToolOptions,
  directory?: string,
) {
  const result = await execa(command, args, {
    stdin: 'ignore',
    reject: false,
    timeout: timeoutMs,
    env: { LC_ALL: 'C' },
    ...(signal === undefined ? {} : { cancelSignal: signal }),
    ...(directory === undefined ? {} : { cwd: directory }),
  })
  signal?.throwIfAborted()
  return result
}
