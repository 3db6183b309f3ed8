// Fetches Debian kernel packages with apt and unpacks them into the cache. Nothing is installed, and root is
// not needed.

import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nearestName } from '../src/nearest-name.js'
import { cached } from './cache.js'
import { backportsAptOptions } from './debian-backports.js'
import { COMMAND_LIMIT_MS, DOWNLOAD_LIMIT_MS, fetchError, runTool, type ToolOptions } from './debian-tools.js'
import { describeKernel, type Kernel } from './kernel.js'
import { cachedKernels, isBackport, kernelCache, packagedImage } from './kernel-search.js'

/** `cloud-amd64` is smaller and has no 9P; those of the backports are newer than the release's own. */
export const DEBIAN_FLAVOURS = ['amd64', 'cloud-amd64', 'backports/amd64', 'backports/cloud-amd64'] as const

export type DebianFlavour = (typeof DEBIAN_FLAVOURS)[number]

export interface FetchOptions extends ToolOptions {
  /** Whose newest kernel is taken; by default `amd64`. */
  readonly flavour?: DebianFlavour | undefined
  /** Instead, one package: `linux-image-6.1.0-56-amd64`, or with `=VERSION` behind it. */
  readonly package?: string | undefined
}

interface Package {
  readonly name: string
  readonly version: string
  /** Who knows it. */
  readonly apt: Apt
}

/** Which apt is asked: the machine's own lists, or ours of the backports. */
interface Apt {
  readonly options: readonly string[]
  /** The same with new lists; undefined if we may not fetch them. */
  readonly updated: (() => Promise<Apt>) | undefined
}

/**
 * The newest Debian kernel of a flavour, or that of a package, downloaded unless it is in the cache. Without a package
 * list, which means without network on a fresh machine, the newest of the cache is taken. Throws CpuError
 * ERR_CPU_VM_KERNEL_FETCH.
 */
export function fetchDebianKernel(options: FetchOptions = {}): Promise<Kernel> {
  return options.package === undefined ? fetchFlavour(options) : fetchPackage(options.package, options)
}

async function fetchFlavour(options: FetchOptions): Promise<Kernel> {
  const { flavour = 'amd64' } = options
  const wanted = { name: metapackage(flavour) }
  const lists = await openLists(flavour, options).catch((error: Error) => error)
  const found = lists instanceof Error ? undefined : await resolvePackage(wanted, lists, options)
  if (found !== undefined) return fetchInto(found, options)
  options.signal?.throwIfAborted()
  const newest = (await cachedKernels()).filter(kernel => isFlavour(kernel, flavour)).at(-1)
  if (newest !== undefined) return newest
  throw lists instanceof Error ? lists : fetchError(`apt knows no ${wanted.name}`, undefined)
}

/** From the machine's own lists, else from the backports. */
async function fetchPackage(text: string, options: FetchOptions): Promise<Kernel> {
  const [name = '', version] = text.split('=')
  const known = await cachedPackage(name, version)
  if (known !== undefined) return describeKernel(known)
  for (const flavour of ['amd64', 'backports/amd64'] as const) {
    const lists = await openLists(flavour, options).catch(() => undefined)
    const found = lists && (await resolvePackage({ name, version }, lists, options))
    if (found !== undefined) return fetchInto(found, options)
    options.signal?.throwIfAborted()
  }
  const newest = version === undefined ? await cachedPackage(name, '') : undefined
  if (newest !== undefined) return describeKernel(newest)
  const { stdout } = await runTool('apt-cache', ['pkgnames', 'linux-image-'], COMMAND_LIMIT_MS, options)
  const nearest = nearestName(name, stdout.split('\n'))
  throw fetchError(`apt knows no package ${text}`, undefined, nearest && `did you mean ${nearest}?`)
}

/** The kernel of a package in the cache; any version for an empty one, and for none there is nothing. */
async function cachedPackage(name: string, version: string | undefined): Promise<string | undefined> {
  if (version === undefined) return undefined
  const start = `${name}_${version}`
  const entries = (await readdir(kernelCache()).catch(() => [])).sort()
  const entry = entries.filter(found => (version === '' ? found.startsWith(start) : found === start)).at(-1)
  return entry === undefined ? undefined : packagedImage(join(kernelCache(), entry))
}

async function fetchInto(found: Package, options: FetchOptions): Promise<Kernel> {
  const directory = await cached(join(kernelCache(), `${found.name}_${found.version}`), async temporary => {
    options.onProgress?.(`downloading ${found.name} ${found.version}`)
    await downloadAndUnpack([`${found.name}=${found.version}`], temporary, options, found.apt)
    if ((await packagedImage(temporary)) === undefined)
      throw fetchError(`there is no kernel in the package ${found.name}`, undefined)
  })
  return describeKernel((await packagedImage(directory)) ?? directory)
}

function isFlavour(kernel: Kernel, flavour: DebianFlavour): boolean {
  const isCloud = kernel.release.endsWith('-cloud-amd64')
  return (
    kernel.release.endsWith('-amd64') &&
    isCloud === flavour.endsWith('cloud-amd64') &&
    isBackport(kernel) === flavour.startsWith('backports/')
  )
}

/** The package that depends on the newest kernel. */
function metapackage(flavour: DebianFlavour): string {
  return `linux-image-${flavour.replace('backports/', '')}`
}

async function openLists(flavour: DebianFlavour, options: FetchOptions): Promise<Apt> {
  if (flavour.startsWith('backports/')) {
    const open = async (refresh: boolean): Promise<Apt> => ({
      options: await backportsAptOptions(options, refresh),
      updated: () => open(true),
    })
    return open(false)
  }
  const machine: Apt = { options: [], updated: undefined }
  if (process.getuid?.() !== 0) return machine
  const update = async () => {
    options.onProgress?.("updating apt's package lists")
    await runTool('apt-get', ['-qq', 'update'], DOWNLOAD_LIMIT_MS, options)
    return machine
  }
  return { ...machine, updated: update }
}

interface Wanted {
  readonly name: string
  /** By default the one that apt would install. */
  readonly version?: string | undefined
}

/** What apt knows, the package lists being fetched first if it knows nothing and we may. */
async function resolvePackage(wanted: Wanted, apt: Apt, options: FetchOptions): Promise<Package | undefined> {
  const known = await knownPackage(wanted, apt, options)
  if (known !== undefined || apt.updated === undefined) return known
  return knownPackage(wanted, await apt.updated(), options)
}

/** The package itself, or the kernel that a metapackage stands for. */
async function knownPackage(
  { name, version }: Wanted,
  apt: Apt,
  options: FetchOptions,
): Promise<Package | undefined> {
  const named = version === undefined ? name : `${name}=${version}`
  const args = [...apt.options, 'show', '--no-all-versions', named]
  const { stdout } = await runTool('apt-cache', args, COMMAND_LIMIT_MS, options)
  const behind = /^Depends: .*?(linux-image-[\w.+-]+) \(= ([\w.+~:-]+)\)/m.exec(stdout)
  if (behind !== null) return { name: behind[1]!, version: behind[2]!, apt }
  const own = /^Version: (\S+)$/m.exec(stdout)?.[1]
  return own === undefined ? undefined : { name, version: own, apt }
}

/** All packages, each `NAME` or `NAME=VERSION`, into one directory. Throws CpuError ERR_CPU_VM_KERNEL_FETCH. */
export async function downloadAndUnpack(
  packages: readonly string[],
  target: string,
  options: ToolOptions = {},
  apt: Apt = { options: [], updated: undefined },
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'cpu-harness-packages-'))
  try {
    const download = (apt: Apt) =>
      runTool(
        'apt-get',
        [...apt.options, '-q', 'download', ...packages],
        DOWNLOAD_LIMIT_MS,
        options,
        directory,
      )
    let result = await download(apt)
    if (result.failed && apt.updated !== undefined) {
      // The archive drops versions that old package lists still name.
      result = await download(await apt.updated())
    }
    const archives = (await readdir(directory)).filter(name => name.endsWith('.deb'))
    if (result.failed || archives.length < packages.length)
      throw fetchError(`apt-get cannot download ${packages.join(' ')}`, result)
    await mkdir(target, { recursive: true })
    for (const archive of archives) {
      options.onProgress?.(`unpacking ${archive}`)
      const args = ['-x', join(directory, archive), target]
      const unpacked = await runTool('dpkg-deb', args, COMMAND_LIMIT_MS, options)
      if (unpacked.failed) throw fetchError(`dpkg-deb cannot unpack ${archive}`, unpacked)
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}
