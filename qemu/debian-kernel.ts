// Fetches Debian kernel packages with apt and unpacks them into the cache. Nothing is installed, and root is
// not needed.

import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cached } from './cache.js'
import { backportsAptOptions } from './debian-backports.js'
import { COMMAND_LIMIT_MS, DOWNLOAD_LIMIT_MS, fetchError, runTool, type ToolOptions } from './debian-tools.js'
import { cachedKernels, describeKernel, isBackport, type Kernel, kernelCache } from './kernel.js'

/** `cloud-amd64` is smaller and has no 9P; those of the backports are newer than the release's own. */
export const DEBIAN_FLAVOURS = ['amd64', 'cloud-amd64', 'backports/amd64', 'backports/cloud-amd64'] as const

export type DebianFlavour = (typeof DEBIAN_FLAVOURS)[number]

export interface FetchOptions extends ToolOptions {
  /** By default `amd64`. */
  readonly flavour?: DebianFlavour | undefined
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
 * The newest Debian kernel of a flavour, downloaded unless it is in the cache. Without a package list, which
 * means without network on a fresh machine, the newest of the cache is taken. Throws CpuError
 * ERR_CPU_VM_KERNEL_FETCH.
 */
export async function fetchDebianKernel(options: FetchOptions = {}): Promise<Kernel> {
  const { flavour = 'amd64' } = options
  const lists = await openLists(flavour, options).catch((error: Error) => error)
  const found = lists instanceof Error ? undefined : await resolvePackage(flavour, lists, options)
  if (lists instanceof Error || found === undefined) {
    options.signal?.throwIfAborted()
    const newest = (await cachedKernels()).filter(kernel => isFlavour(kernel, flavour)).at(-1)
    if (newest !== undefined) return newest
    if (lists instanceof Error) throw lists
    throw fetchError(`apt knows no ${metapackage(flavour)}`, undefined)
  }
  const directory = await cached(join(kernelCache(), `${found.name}_${found.version}`), async temporary => {
    options.onProgress?.(`downloading ${found.name} ${found.version}`)
    await downloadAndUnpack(found, temporary, options)
  })
  const boot = join(directory, 'boot')
  const image = (await readdir(boot)).find(name => name.startsWith('vmlinu'))
  if (image === undefined) throw fetchError(`no kernel in package ${found.name}`, undefined)
  return describeKernel(join(boot, image))
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

/** What the metapackage depends on, the package lists being fetched first if there are none and we may. */
async function resolvePackage(
  flavour: DebianFlavour,
  apt: Apt,
  options: FetchOptions,
): Promise<Package | undefined> {
  const known = await dependency(flavour, apt, options)
  if (known !== undefined || apt.updated === undefined) return known
  return dependency(flavour, await apt.updated(), options)
}

async function dependency(
  flavour: DebianFlavour,
  apt: Apt,
  options: FetchOptions,
): Promise<Package | undefined> {
  const args = [...apt.options, 'show', '--no-all-versions', metapackage(flavour)]
  const { stdout } = await runTool('apt-cache', args, COMMAND_LIMIT_MS, options)
  const match = /^Depends: .*?(linux-image-[\w.+-]+) \(= ([\w.+~:-]+)\)/m.exec(stdout)
  return match === null ? undefined : { name: match[1]!, version: match[2]!, apt }
}

async function downloadAndUnpack(wanted: Package, target: string, options: FetchOptions): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'cpu-harness-kernel-'))
  try {
    const download = (apt: Apt) =>
      runTool(
        'apt-get',
        [...apt.options, '-q', 'download', `${wanted.name}=${wanted.version}`],
        DOWNLOAD_LIMIT_MS,
        options,
        directory,
      )
    let result = await download(wanted.apt)
    if (result.failed && wanted.apt.updated !== undefined) {
      // The archive drops versions that old package lists still name.
      result = await download(await wanted.apt.updated())
    }
    const archive = (await readdir(directory)).find(name => name.endsWith('.deb'))
    if (result.failed || archive === undefined)
      throw fetchError(`apt-get cannot download ${wanted.name}`, result)
    options.onProgress?.(`unpacking ${archive}`)
    await mkdir(target, { recursive: true })
    const unpacked = await runTool(
      'dpkg-deb',
      ['-x', join(directory, archive), target],
      COMMAND_LIMIT_MS,
      options,
    )
    if (unpacked.failed) throw fetchError(`dpkg-deb cannot unpack ${archive}`, unpacked)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}
