// What is kept between runs: kernels fetched, kernels prepared, guest images. Everything appears in one
// rename, so that a reader sees it whole or not at all and two builders of one thing do not disturb each other.

import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, dirname, join } from 'node:path'

const DAY_MS = 24 * 60 * 60 * 1000

/** $XDG_CACHE_HOME/cpu-harness or ~/.cache/cpu-harness, whether it exists or not. */
export function cacheDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  const base = environment['XDG_CACHE_HOME']
  return join(base?.startsWith('/') ? base : join(homedir(), '.cache'), 'cpu-harness')
}

/**
 * Returns `path` once it exists: `build` makes it under the name it is given, unless it is there already.
 * A failed build leaves nothing behind.
 */
export async function cached(path: string, build: (temporary: string) => Promise<void>): Promise<string> {
  if (existsSync(path)) {
    await markUsed(path)
    return path
  }
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}`)
  try {
    await build(temporary)
    await publish(temporary, path)
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
  return path
}

async function publish(temporary: string, path: string): Promise<void> {
  try {
    await rename(temporary, path)
  } catch (error) {
    // A directory that someone else published meanwhile is as good as ours.
    if (!['EEXIST', 'ENOTEMPTY'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}

/** Keeps the `keep` entries used last, and removes the others and what killed builds left a day ago. */
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
  for (const { path } of [...finished.slice(keep), ...abandoned])
    await rm(path, { recursive: true, force: true })
}

async function markUsed(path: string): Promise<void> {
  const now = new Date()
  // Another user's cache, or one on a read-only file system, is still good to read.
  await utimes(path, now, now).catch(() => undefined)
}
