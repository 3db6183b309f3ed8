// Fetches Debian kernel packages into the cache.

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { nearestName } from '../src/nearest-name.js'
import { cached } from './cache.js'
import type { DebianLists } from './debian-lists.js'
import { downloadAndUnpack, openLists, type Package, resolvePackage } from './debian-package.js'
import { COMMAND_LIMIT_MS, fetchError, runTool, type ToolOptions } from './debian-tools.js'
import { describeKernel, type Kernel } from './kernel.js'
import { cachedKernels, isBackport, kernelCache, packagedImage } from './kernel-search.js'

/** `cloud-amd64` is smaller and has no 9P; those of the backports are newer than the release's own. */
export const DEBIAN_FLAVOURS = [
  'amd64',
  'cloud-amd64',
  'arm64',
  'backports/amd64',
  'backports/cloud-amd64',
  'backports/arm64',
] as const

export type DebianFlavour = (typeof DEBIAN_FLAVOURS)[number]

export interface FetchOptions extends ToolOptions {
  /** Whose newest kernel is taken; by default `amd64`. */
  readonly flavour?: DebianFlavour | undefined
  /** Instead, one package: `linux-image-6.1.0-56-amd64`, or with `=VERSION` behind it. */
  readonly package?: string | undefined
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
  const lists = await openLists(listsOf(flavour), options).catch((error: Error) => error)
  const found = lists instanceof Error ? undefined : await resolvePackage(wanted, lists, options)
  if (found !== undefined) return fetchInto(found, options)
  options.signal?.throwIfAborted()
  const newest = (await cachedKernels()).filter(kernel => isFlavour(kernel, flavour)).at(-1)
  if (newest !== undefined) return newest
  throw lists instanceof Error ? lists : fetchError(`apt knows no ${wanted.name}`, undefined)
}

/** From the release's own lists, else from the backports. */
async function fetchPackage(text: string, options: FetchOptions): Promise<Kernel> {
  const [name = '', version] = text.split('=')
  const known = await cachedPackage(name, version)
  if (known !== undefined) return describeKernel(known)
  const architecture = name.endsWith('arm64') ? 'arm64' : 'amd64'
  for (const backports of [false, true]) {
    const lists = await openLists({ backports, architecture }, options).catch(() => undefined)
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
  const name = flavour.replace('backports/', '')
  const isCloud = kernel.release.endsWith(`-cloud-${listsOf(flavour).architecture}`)
  return (
    kernel.release.endsWith(`-${name}`) &&
    isCloud === name.startsWith('cloud-') &&
    isBackport(kernel) === flavour.startsWith('backports/')
  )
}

function listsOf(flavour: DebianFlavour): DebianLists {
  return {
    backports: flavour.startsWith('backports/'),
    architecture: flavour.endsWith('arm64') ? 'arm64' : 'amd64',
  }
}

/** The package that depends on the newest kernel. */
function metapackage(flavour: DebianFlavour): string {
  return `linux-image-${flavour.replace('backports/', '')}`
}
