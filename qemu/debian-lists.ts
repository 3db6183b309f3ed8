// Lets apt see what it does not by itself, without a change to the machine's own: Debian's backports, where the newer
// kernels are, and packages for another architecture. Source and package lists of ours lie in the cache, and apt is told
// so by options. Mirror and keys are those of the machine's entry for its own release, so apt checks signatures as it
// does for that. sources.list(5) has both formats.

import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CpuError } from '../src/errors.js'
import { ownArchitecture, platforms } from './architecture.js'
import { cacheDirectory, cached, pruneCache } from './cache.js'
import { DOWNLOAD_LIMIT_MS, fetchError, runTool, type ToolOptions } from './debian-tools.js'

const KEEP = 2

/** What apt is to see, of this machine's release or another. */
export interface DebianLists {
  readonly backports: boolean
  /** Such as `sid`; by default this machine's release. */
  readonly suite?: string
  /** As Debian has it: `arm64`. */
  readonly architecture: string
}

/** Whether these are lists that the machine has not, most likely. */
export function areForeign({ backports, suite, architecture }: DebianLists): boolean {
  return backports || suite !== undefined || architecture !== platforms[ownArchitecture()].debian
}

/**
 * Options that make apt see these lists and nothing else. They are fetched once a day, or now if `refresh` is set;
 * without network the last ones do. Throws CpuError ERR_CPU_VM_KERNEL_FETCH.
 */
export async function listsAptOptions(
  lists: DebianLists,
  options: ToolOptions,
  refresh = false,
): Promise<string[]> {
  const codename = await releaseCodename()
  const suite = `${lists.suite ?? codename}${lists.backports ? '-backports' : ''}`
  const entry = await findSourceEntry(codename, suite, options)
  const directory = join(cacheDirectory(), 'apt', `${suite}-${lists.architecture}`)
  const apt = { format: entry.format, architecture: lists.architecture }
  const today = join(directory, new Date().toISOString().slice(0, 10))
  if (refresh) await rm(today, { recursive: true, force: true })
  try {
    const fetched = await cached(today, temporary => fetchLists(temporary, suite, entry, apt, options))
    await pruneCache(directory, KEEP)
    return aptOptions(fetched, apt)
  } catch (error) {
    options.signal?.throwIfAborted()
    const older = (await readdir(directory).catch(() => []))
      .sort()
      .filter(name => !name.startsWith('.'))
      .at(-1)
    if (older === undefined) throw error
    options.onProgress?.(`${(error as Error).message}: using the package lists of ${older}`)
    return aptOptions(join(directory, older), apt)
  }
}

type SourceFormat = 'list' | 'sources'

interface SourceEntry {
  readonly format: SourceFormat
  /** A file of this one entry. */
  readonly text: string
}

/** Of Debian, such as `bookworm`. Throws as above. */
export async function releaseCodename(): Promise<string> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '')
  const [, codename] = /^VERSION_CODENAME="?([\w-]+)"?$/m.exec(text) ?? []
  if (codename !== undefined && /^ID="?debian"?$/m.test(text)) return codename
  throw new CpuError(
    'ERR_CPU_VM_KERNEL_FETCH',
    'packages are fetched for the Debian release of this machine, which has none',
    {
      remedy: 'name a kernel of your own with -kernel FILE',
    },
  )
}

/** apt itself says which entry of its sources the release comes from, as `FILE:N`. */
async function findSourceEntry(codename: string, suite: string, options: ToolOptions): Promise<SourceEntry> {
  const format = '$(ORIGIN) $(CODENAME) $(COMPONENT) $(SOURCESENTRY)'
  const targets = await runTool(
    'apt-get',
    ['indextargets', '--format', format, 'Created-By: Packages'],
    DOWNLOAD_LIMIT_MS,
    options,
  )
  const start = `Debian ${codename} main `
  const place = targets.stdout.split('\n').find(line => line.startsWith(start))
  const [, file, number] = /^(.*):(\d+)$/.exec(place?.slice(start.length) ?? '') ?? []
  if (file !== undefined) {
    const entry = sourceEntry(file, await readFile(file, 'utf8'), Number(number), suite)
    if (entry !== undefined) return entry
  }
  throw fetchError(`apt has no package lists of Debian ${codename}`, targets)
}

/**
 * The machine's own source entry, made one of another suite, and of whatever architecture. `number` counts lines of a .list file from 1, and
 * paragraphs of a .sources file. Undefined if there is none.
 */
export function sourceEntry(
  file: string,
  text: string,
  number: number,
  suite: string,
): SourceEntry | undefined {
  if (!file.endsWith('.sources')) {
    const [, type, bracket = '', uri] =
      /^\s*(deb)\s+(\[[^\]]*\]\s+)?(\S+)\s+\S/.exec(text.split('\n')[number - 1] ?? '') ?? []
    // It may be for one architecture, and an empty bracket is an error.
    const choice = bracket.replace(/\barch=[^\s\]]+\s*/, '').replace(/^\[\s*\]\s+/, '')
    return type === undefined ? undefined : { format: 'list', text: `deb ${choice}${uri} ${suite} main\n` }
  }
  const paragraphs = text
    .replace(/^#.*\n/gm, '')
    .split(/\n\s*\n/)
    .filter(paragraph => paragraph.trim() !== '')
  const paragraph = paragraphs[number - 1]
  if (paragraph === undefined) return undefined
  const replaced = { Types: 'deb', Suites: suite, Components: 'main' }
  // A field goes on in the lines that begin with a space: a key may stand there in full.
  const others = paragraph.trim().replace(/^(Types|Suites|Components|Architectures):.*(\n[ \t].*)*\n?/gim, '')
  const fields = Object.entries(replaced).map(([name, value]) => `${name}: ${value}\n`)
  return { format: 'sources', text: `${fields.join('')}${others.trimEnd()}\n` }
}

interface AptLists {
  readonly format: SourceFormat
  readonly architecture: string
}

async function fetchLists(
  directory: string,
  suite: string,
  { format, text }: SourceEntry,
  apt: AptLists,
  options: ToolOptions,
): Promise<void> {
  const what = `the package lists of Debian's ${suite} for ${apt.architecture}`
  options.onProgress?.(`fetching ${what}`)
  for (const part of ['lists/partial', 'archives/partial'])
    await mkdir(join(directory, part), { recursive: true })
  await writeFile(join(directory, `debian.${format}`), text)
  // Without this a list that could not be fetched would be but a warning.
  const args = ['-qq', ...aptOptions(directory, apt), '-o', 'APT::Update::Error-Mode=any', 'update']
  const result = await runTool('apt-get', args, DOWNLOAD_LIMIT_MS, options)
  if (result.failed) throw fetchError(`apt cannot fetch ${what}`, result)
}

function aptOptions(directory: string, { format, architecture }: AptLists): string[] {
  const settings = {
    'APT::Architecture': architecture,
    'APT::Architectures': architecture,
    // What is installed here says nothing of what is fetched.
    'Dir::State::status': '/dev/null',
    'Dir::Etc::sourcelist': join(directory, `debian.${format}`),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::Etc::preferences': '/dev/null',
    'Dir::Etc::preferencesparts': '/dev/null',
    'Dir::State::lists': join(directory, 'lists'),
    'Dir::Cache': directory,
    'Dir::Cache::pkgcache': '',
    'Dir::Cache::srcpkgcache': '',
    'Acquire::Languages': 'none',
  }
  return Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])
}
