// What is kept between runs: kernels fetched, kernels prepared, guest images. Everything appears in one
// rename, so that a reader sees it whole or not at all and two builders of one thing do not disturb each other.

import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { writeError } from './write-error.js'

const DAY_MS = 24 * 60 * 60 * 1000
/** From the look that finds an entry to its being open. */
const IN_USE_MS = 60_000

/** Names within the directory of a file that is kept. */
const CONTENT = 'content'
const CHECKSUM = 'checksum.json'

interface Checksum {
  readonly size: number
  readonly sha256: string
}

/** $XDG_CACHE_HOME/cpu-harness or ~/.cache/cpu-harness, whether it exists or not. */
export function cacheDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  const base = environment['XDG_CACHE_HOME']
  return join(base?.startsWith('/') ? base : join(homedir(), '.cache'), 'cpu-harness')
}

/**
 * Returns `path` once it exists: `build` makes it under the name it is given, unless it is there already.
 * A failed build leaves nothing behind. Throws CpuError ERR_CPU_VM_WRITE where there is no room.
 */
export async function cached(path: string, build: (temporary: string) => Promise<void>): Promise<string> {
  if (existsSync(path)) {
    await markUsed(path)
    return path
  }
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}`)
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await build(temporary)
    await publish(temporary, path)
  } catch (error) {
    throw writeError(error, `the cache, ${dirname(path)}`, 'XDG_CACHE_HOME')
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
  return path
}

/**
 * The same for one large file, whose checksum is kept beside it: one that has not its size is made again here, one
 * that has changed otherwise is found by `removeDamaged`.
 */
export async function cachedFile(path: string, build: (temporary: string) => Promise<void>): Promise<string> {
  const content = join(path, CONTENT)
  if (existsSync(path) && !(await hasItsSize(content))) await rm(path, { recursive: true, force: true })
  await cached(path, async temporary => {
    await mkdir(temporary, { mode: 0o700 })
    const file = join(temporary, CONTENT)
    await build(file)
    await writeFile(join(temporary, CHECKSUM), JSON.stringify(await checksum(file)))
  })
  return content
}

/** Removes a file of `cachedFile` unless it is as it was built; returns whether it did. */
export async function removeDamaged(content: string): Promise<boolean> {
  const expected = await recordedChecksum(content)
  // Not every file that is booted comes from the cache.
  if (expected === undefined) return false
  const found = await checksum(content).catch(() => undefined)
  if (found?.sha256 === expected.sha256) return false
  await removeCached(content)
  return true
}

/** Removes a file of `cachedFile`; any other is left alone. */
export async function removeCached(content: string): Promise<void> {
  if ((await recordedChecksum(content)) !== undefined)
    await rm(dirname(content), { recursive: true, force: true })
}

async function hasItsSize(content: string): Promise<boolean> {
  const status = await stat(content).catch(() => undefined)
  return status !== undefined && status.size === (await recordedChecksum(content))?.size
}

async function recordedChecksum(content: string): Promise<Checksum | undefined> {
  try {
    return JSON.parse(await readFile(join(dirname(content), CHECKSUM), 'utf8'))
  } catch {
    return undefined
  }
}

async function checksum(file: string): Promise<Checksum> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash)
  return { size: (await stat(file)).size, sha256: hash.digest('hex') }
}

async function publish(temporary: string, path: string): Promise<void> {
  try {
    await rename(temporary, path)
  } catch (error) {
    // A directory that someone else published meanwhile is as good as ours.
    if (!['EEXIST', 'ENOTEMPTY'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}

/** Keeps the `keep` entries used last, and what somebody is about to use; removes the others and what killed builds left a day ago. */
export async function pruneCache(directory: string, keep: number): Promise<void> {
  const entries = await readdir(directory).catch(() => [])
  const dated = await Promise.all(
    entries.map(async name => {
      const path = join(directory, name)
      const status = await stat(path).catch(() => undefined)
      return { path, name, usedMs: status?.mtimeMs ?? 0 }
    }),
  )
  const finished = dated.filter(({ name }) => !name.startsWith('.')).sort((a, b) => b.usedMs - a.usedMs)
  const abandoned = dated.filter(({ name, usedMs }) => name.startsWith('.') && usedMs < Date.now() - DAY_MS)
  const unused = finished.slice(keep).filter(({ usedMs }) => usedMs < Date.now() - IN_USE_MS)
  for (const { path } of [...unused, ...abandoned]) await rm(path, { recursive: true, force: true })
}

async function markUsed(path: string): Promise<void> {
  const now = new Date()
  // Another user's cache, or one on a read-only file system, is still good to read.
  await utimes(path, now, now).catch(() => undefined)
}
