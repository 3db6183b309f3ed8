// Fetches Debian packages with apt, which checks their signatures, and unpacks them. Nothing is installed, and root is not
// needed.

import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { areForeign, type DebianLists, listsAptOptions } from './debian-lists.js'
import { COMMAND_LIMIT_MS, DOWNLOAD_LIMIT_MS, fetchError, runTool, type ToolOptions } from './debian-tools.js'

export interface Package {
  readonly name: string
  readonly version: string
  /** Who knows it. */
  readonly apt: Apt
}

/** Which apt is asked: the machine's own lists, or ours. */
export interface Apt {
  readonly options: readonly string[]
  /** The same with new lists; undefined if we may not fetch them. */
  readonly updated: (() => Promise<Apt>) | undefined
}

/** Throws CpuError ERR_CPU_VM_KERNEL_FETCH. */
export async function openLists(lists: DebianLists, options: ToolOptions): Promise<Apt> {
  if (areForeign(lists)) {
    const open = async (refresh: boolean): Promise<Apt> => ({
      options: await listsAptOptions(lists, options, refresh),
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
export async function resolvePackage(
  wanted: Wanted,
  apt: Apt,
  options: ToolOptions,
): Promise<Package | undefined> {
  const known = await knownPackage(wanted, apt, options)
  if (known !== undefined || apt.updated === undefined) return known
  return knownPackage(wanted, await apt.updated(), options)
}

/** The package itself, or the kernel that a metapackage stands for. */
async function knownPackage(
  { name, version }: Wanted,
  apt: Apt,
  options: ToolOptions,
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
