// Snapshots of booted machines in the cache, each a directory named for its key: memory, the state of processor and
// devices, the console so far, and what these must be. One that is not exactly what was written is removed, never used.

import { createHash } from 'node:crypto'
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  statfs,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { cacheDirectory, pruneCache } from './cache.js'
import { identifyProcess, isAlive } from './process-identity.js'
import { writeError } from './write-error.js'

/** Each as large as what its guest has used of its memory. */
const KEEP = 4
const MIB = 1024 * 1024

export interface Snapshot {
  readonly directory: string
  /** A file, for QEMU to map. */
  readonly memory: string
  readonly state: Buffer
  readonly console: Buffer
}

/** What is checked before each use. To read all of the memory would take longer than a boot. */
interface Manifest {
  readonly memory: { readonly size: number; readonly mtimeMs: number }
  readonly sha256: string
}

function files(directory: string) {
  return {
    memory: join(directory, 'memory'),
    state: join(directory, 'state'),
    console: join(directory, 'console'),
    manifest: join(directory, 'snapshot.json'),
    maker: join(directory, 'maker.json'),
  }
}

export function snapshotDirectory(): string {
  return join(cacheDirectory(), 'snapshots')
}

/** Undefined where there is none, or none that can be relied on; `onDamage` is told of the latter. */
export async function findSnapshot(key: string, onDamage: () => void): Promise<Snapshot | undefined> {
  const directory = join(snapshotDirectory(), key)
  if ((await stat(directory).catch(() => undefined)) === undefined) return undefined
  const snapshot = await readSnapshot(directory).catch(() => undefined)
  if (snapshot === undefined) {
    onDamage()
    await removeSnapshot({ directory })
    return undefined
  }
  const now = new Date()
  await utimes(directory, now, now).catch(() => undefined)
  return snapshot
}

async function readSnapshot(directory: string): Promise<Snapshot | undefined> {
  const { memory, ...others } = files(directory)
  const [state, console, manifest] = await Promise.all([
    readFile(others.state),
    readFile(others.console),
    readFile(others.manifest, 'utf8'),
  ])
  const expected = JSON.stringify(await describe(memory, state, console))
  return manifest === expected ? { directory, memory, state, console } : undefined
}

async function describe(memory: string, state: Buffer, console: Buffer): Promise<Manifest> {
  const { size, mtimeMs } = await stat(memory)
  const sha256 = createHash('sha256').update(state).update(console).digest('hex')
  return { memory: { size, mtimeMs }, sha256 }
}

/** Those that use its memory go on. */
export async function removeSnapshot({ directory }: Pick<Snapshot, 'directory'>): Promise<void> {
  await rm(directory, { recursive: true, force: true })
}

/** A snapshot that is being made. There is one of a key at a time. */
export class SnapshotDraft {
  readonly memory: string
  readonly #directory: string
  readonly #target: string
  #isPublished = false

  private constructor(directory: string, target: string) {
    this.memory = files(directory).memory
    this.#directory = directory
    this.#target = target
  }

  /** Undefined while another process makes it. Throws CpuError ERR_CPU_VM_WRITE where there is no room for its memory. */
  static async begin(key: string, memoryMiB: number): Promise<SnapshotDraft | undefined> {
    const store = snapshotDirectory()
    const draft = join(store, `.${key}`)
    let unfinished: string | undefined
    try {
      await mkdir(store, { recursive: true, mode: 0o700 })
      const { bavail, bsize } = await statfs(store)
      // A guest whose memory finds no room when it is used is killed.
      if (bavail * bsize < memoryMiB * MIB) throw Object.assign(new Error(), { code: 'ENOSPC', errno: -28 })
      await removeAbandoned(store)
      unfinished = await mkdtemp(join(store, '.new-'))
      await writeFile(files(unfinished).maker, JSON.stringify(identifyProcess(process.pid)))
      // Fails where there is one with anything in it.
      await rename(unfinished, draft)
      return new SnapshotDraft(draft, join(store, key))
    } catch (error) {
      if (unfinished !== undefined) await rm(unfinished, { recursive: true, force: true })
      if (['EEXIST', 'ENOTEMPTY'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
      throw writeError(error, `the cache, ${store}`, 'XDG_CACHE_HOME')
    }
  }

  /** An empty file for the memory of the next attempt. */
  async clearMemory(): Promise<void> {
    await rm(this.memory, { force: true })
    await writeFile(this.memory, '', { mode: 0o600 })
  }

  /** Throws CpuError ERR_CPU_VM_WRITE. */
  async write(state: Buffer, console: Buffer): Promise<void> {
    const { state: stateFile, console: consoleFile } = files(this.#directory)
    try {
      await writeFile(stateFile, state, { mode: 0o600 })
      await writeFile(consoleFile, console, { mode: 0o600 })
    } catch (error) {
      throw writeError(error, `the cache, ${this.#directory}`, 'XDG_CACHE_HOME')
    }
  }

  /** When the QEMU that has used the memory is gone. Throws CpuError ERR_CPU_VM_WRITE. */
  async publish(): Promise<Snapshot> {
    const { memory, state, console, manifest, maker } = files(this.#directory)
    try {
      const description = await describe(memory, await readFile(state), await readFile(console))
      await writeFile(manifest, JSON.stringify(description), { mode: 0o600 })
      await rm(maker)
      await rename(this.#directory, this.#target)
      this.#isPublished = true
      await pruneCache(snapshotDirectory(), KEEP)
      return (await readSnapshot(this.#target))!
    } catch (error) {
      throw writeError(error, `the cache, ${this.#directory}`, 'XDG_CACHE_HOME')
    }
  }

  /** Removes what is not published. */
  async discard(): Promise<void> {
    if (!this.#isPublished) await rm(this.#directory, { recursive: true, force: true })
  }
}

/** What makers left that were killed. */
async function removeAbandoned(store: string): Promise<void> {
  for (const name of await readdir(store)) {
    if (!name.startsWith('.')) continue
    const maker = await readFile(files(join(store, name)).maker, 'utf8').catch(() => undefined)
    if (maker !== undefined && !isAlive(JSON.parse(maker)))
      await rm(join(store, name), { recursive: true, force: true })
  }
}
