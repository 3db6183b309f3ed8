// Lets apt see Debian's backports, where the newer kernels are, without a change to the machine's own apt: source and
// package lists of ours lie in the cache, and apt is told so by options. Mirror and keys are those of the machine's
// entry for its own release, so apt checks signatures as it does for that. sources.list(5) has both formats.

import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CpuError } from '../src/errors.js'
import { cacheDirectory, cached, pruneCache } from './cache.js'
import { DOWNLOAD_LIMIT_MS, fetchError, runTool, type ToolOptions } from './debian-tools.js'

const KEEP = 2

/**
 * Options that make apt see the backports of this machine's release and nothing else. Lists are fetched once a day, or
 * now if `refresh` is set; without network the last ones do. Throws CpuError ERR_CPU_VM_KERNEL_FETCH.
 */
export async function backportsAptOptions(options: ToolOptions, refresh = false): Promise<string[]> {
  return suiteAptOptions(`${await releaseCodename()}-backports`, options, refresh)
}

/** The same of any suite, such as `sid`. */
export async function suiteAptOptions(
  suite: string,
  options: ToolOptions,
  refresh = false,
): Promise<string[]> {
  const entry = await findSuiteEntry(suite, await releaseCodename(), options)
  const directory = join(cacheDirectory(), 'apt', suite)
  const today = join(directory, new Date().toISOString().slice(0, 10))
  if (refresh) await rm(today, { recursive: true, force: true })
  try {
    const lists = await cached(today, temporary => fetchLists(temporary, suite, entry, options))
    await pruneCache(directory, KEEP)
    return aptOptions(lists, suite, entry.format)
  } catch (error) {
    options.signal?.throwIfAborted()
    const older = (await readdir(directory).catch(() => []))
      .sort()
      .filter(name => !name.startsWith('.'))
      .at(-1)
    if (older === undefined) throw error
    options.onProgress?.(`${(error as Error).message}: using the package lists of ${older}`)
    return aptOptions(join(directory, older), suite, entry.format)
  }
}

type SourceFormat = 'list' | 'sources'

interface SourceEntry {
  readonly format: SourceFormat
  /** A file of this one entry. */
  readonly text: string
}

async function releaseCodename(): Promise<string> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '')
  const [, codename] = /^VERSION_CODENAME="?([\w-]+)"?$/m.exec(text) ?? []
  if (codename !== undefined && /^ID="?debian"?$/m.test(text)) return codename
  throw new CpuError(
    'ERR_CPU_VM_KERNEL_FETCH',
    'backports are of Debian releases, and this machine has none',
    {
      remedy: 'name a kernel of your own with -kernel FILE',
    },
  )
}

/** apt itself says which entry of its sources the release comes from, as `FILE:N`. */
async function findSuiteEntry(suite: string, codename: string, options: ToolOptions): Promise<SourceEntry> {
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
    const entry = suiteEntry(file, await readFile(file, 'utf8'), Number(number), suite)
    if (entry !== undefined) return entry
  }
  throw fetchError(`apt has no package lists of Debian ${codename}`, targets)
}

/**
 * The machine's own source entry, made one of another suite. `number` counts lines of a .list file from 1, and
 * paragraphs of a .sources file. Undefined if there is none.
 */
export function suiteEntry(
  file: string,
  text: string,
  number: number,
  suite: string,
): SourceEntry | undefined {
  if (!file.endsWith('.sources')) {
    const [, type, bracket = '', uri] =
      /^\s*(deb)\s+(\[[^\]]*\]\s+)?(\S+)\s+\S/.exec(text.split('\n')[number - 1] ?? '') ?? []
    return type === undefined ? undefined : { format: 'list', text: `deb ${bracket}${uri} ${suite} main\n` }
  }
  const paragraphs = text
    .replace(/^#.*\n/gm, '')
    .split(/\n\s*\n/)
    .filter(paragraph => paragraph.trim() !== '')
  const paragraph = paragraphs[number - 1]
  if (paragraph === undefined) return undefined
  const replaced = { Types: 'deb', Suites: suite, Components: 'main' }
  // A field goes on in the lines that begin with a space: a key may stand there in full.
  const others = paragraph.trim().replace(/^(Types|Suites|Components):.*(\n[ \t].*)*\n?/gim, '')
  const fields = Object.entries(replaced).map(([name, value]) => `${name}: ${value}\n`)
  return { format: 'sources', text: `${fields.join('')}${others.trimEnd()}\n` }
}

async function fetchLists(
  directory: string,
  suite: string,
  { format, text }: SourceEntry,
  options: ToolOptions,
): Promise<void> {
  options.onProgress?.(`fetching the package lists of Debian ${suite}`)
  for (const part of ['lists/partial', 'archives/partial'])
    await mkdir(join(directory, part), { recursive: true })
  await writeFile(join(directory, `${suite}.${format}`), text)
  // Without this a list that could not be fetched would be but a warning.
  const args = ['-qq', ...aptOptions(directory, suite, format), '-o', 'APT::Update::Error-Mode=any', 'update']
  const result = await runTool('apt-get', args, DOWNLOAD_LIMIT_MS, options)
  if (result.failed) throw fetchError(`apt cannot fetch the package lists of Debian ${suite}`, result)
}

function aptOptions(directory: string, suite: string, format: SourceFormat): string[] {
  const settings = {
    'Dir::Etc::sourcelist': join(directory, `${suite}.${format}`),
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
