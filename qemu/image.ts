// The guest's root file system as an initramfs: Node, its libraries, cpud as PID 1, and the kernel's modules.
// One base image per kernel lies in the cache, and one per kind of machine, which has a second archive behind it.
//
// Our own files are in /cpu-harness, since a session puts the client's /usr, /lib and /bin over the guest's. Libraries
// and modules are where loader and cpud look for them: cpud itself never sees a session's mounts.

import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream, existsSync, readdirSync, statSync } from 'node:fs'
import { constants, copyFile, open, realpath } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { CpuError } from '../src/errors.js'
import { cacheDirectory, cachedFile, pruneCache } from './cache.js'
import { type CpioEntry, cpio, parentDirectories } from './cpio.js'
import { type GuestParts, guestParts } from './guest-parts.js'
import type { Kernel } from './kernel.js'
import { BASE_MODULES, type ModuleFile, ModuleTree, modulesDep, readModule } from './modules.js'
import { withoutDebugInformation } from './strip.js'

/** Increased whenever the same inputs give another image. */
const LAYOUT = 3
const KEEP = 8

const DIRECTORIES = [
  'proc',
  'sys',
  'dev',
  'run',
  'root',
  'etc',
  'home',
  'usr',
  'bin',
  'sbin',
  'lib',
  'lib64',
  'mnt',
  'opt',
  'var',
]

const TEXT_FILES: Readonly<Record<string, string>> = {
  'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n',
  'etc/group': 'root:x:0:\nnogroup:x:65534:\n',
  'etc/hosts': '127.0.0.1 localhost\n::1 localhost\n',
  'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
}

const PROGRAM = '/cpu-harness/cpud.cjs'
const SNAPSHOT = '/cpu-harness/cpud.blob'
const INTERPRETER = '#!/cpu-harness/node'

/** Where a module lies in the guest. */
export function guestModulePath(release: string, name: string): string {
  return join(guestModules(release), `${name}.ko`)
}

function guestModules(release: string): string {
  return `/lib/modules/${release}`
}

/** The directory that scripts/bundle.mjs makes. Throws CpuError ERR_CPU_VM_BUNDLE_MISSING. */
export function bundleDirectory(): string {
  for (
    let folder = dirname(fileURLToPath(import.meta.url));
    folder !== dirname(folder);
    folder = dirname(folder)
  ) {
    const bundle = join(folder, 'dist/bundle')
    if (existsSync(join(bundle, 'cpud.cjs'))) return bundle
  }
  throw new CpuError('ERR_CPU_VM_BUNDLE_MISSING', 'no dist/bundle/cpud.cjs, which is put into guests', {
    remedy: 'build it with: npm run build',
  })
}

export interface ImageOptions {
  readonly kernel: Kernel
  /** The kernel's modules, where they are known already: to read what they depend on takes longer than all else here. */
  readonly tree?: ModuleTree | undefined
  readonly bundle?: string
  readonly signal?: AbortSignal | undefined
  /** What is fetched or built for it, which may take its time; one line each. */
  readonly onProgress?: ((line: string) => void) | undefined
}

/** Path of the base image of a kernel, built unless it is in the cache. */
export async function baseImage({
  kernel,
  tree = new ModuleTree(kernel.modulesDirectory),
  bundle = bundleDirectory(),
  signal,
  onProgress,
}: ImageOptions): Promise<string> {
  const parts = await guestParts(kernel.architecture, guestFiles(bundle), { signal, onProgress })
  const { files: modules } = await tree.plan(BASE_MODULES)
  const lists = moduleLists(kernel.release, modules, tree)
  const large = [...parts.inputs, ...modules.map(({ path }) => path)]
  return cachedImage(await imageKey(large, parts, lists), async temporary => {
    signal?.throwIfAborted()
    await parts.withNode(async node => {
      const files = { ...lists, ...(await moduleFiles(kernel.release, modules)) }
      const entries = await baseEntries(node, parts, files, await snapshotOf(parts, signal, onProgress))
      await pipeline(Readable.from(cpio(entries)), createWriteStream(temporary, { mode: 0o600 }), {
        ...(signal === undefined ? {} : { signal }),
      })
    })
  })
}

/** Undefined where Node makes none: it is not needed. */
async function snapshotOf(
  { bundle, startupSnapshot }: GuestParts,
  signal: AbortSignal | undefined,
  onProgress: ImageOptions['onProgress'],
): Promise<Buffer | undefined> {
  const program = bundle.find(path => basename(path) === basename(PROGRAM))!
  try {
    return await startupSnapshot?.(program, PROGRAM, signal)
  } catch (error) {
    if (!(error instanceof CpuError)) throw error
    onProgress?.(`cpud will start slower in its guests: ${error.message}`)
    return undefined
  }
}

async function cachedImage(key: string, build: (temporary: string) => Promise<void>): Promise<string> {
  const directory = join(cacheDirectory(), 'images')
  const image = await cachedFile(join(directory, key), build)
  await pruneCache(directory, KEEP)
  return image
}

/** By their paths in the guest. */
export type GuestFiles = Readonly<Record<string, Uint8Array | string>>

/** The modules of `files` that the base image lacks, and modules.dep with them in it; nothing if it has them all. */
export async function furtherModules(
  { release }: Pick<Kernel, 'release'>,
  tree: ModuleTree,
  files: readonly ModuleFile[],
): Promise<GuestFiles> {
  const { files: base } = await tree.plan(BASE_MODULES)
  const further = files.filter(({ name }) => !base.some(known => known.name === name))
  if (further.length === 0) return {}
  return {
    ...moduleLists(release, [...base, ...further], tree),
    ...(await moduleFiles(release, further)),
  }
}

async function moduleFiles(release: string, modules: readonly ModuleFile[]): Promise<GuestFiles> {
  const files: Record<string, Uint8Array> = {}
  for (const { name, path } of modules)
    files[guestModulePath(release, name)] = await withoutDebugInformation(await readModule(path))
  return files
}

/** What says which modules there are, for `modules_load=`. */
function moduleLists(release: string, modules: readonly ModuleFile[], tree: ModuleTree): GuestFiles {
  return {
    [join(guestModules(release), 'modules.dep')]: modulesDep(modules),
    [join(guestModules(release), 'modules.builtin')]: tree.builtin.map(name => `${name}.ko\n`).join(''),
  }
}

/** Names what a machine boots, by content: the base image and further files behind it. */
export function machineImageKey(base: string, files: GuestFiles): string {
  const hash = createHash('sha256').update(`${LAYOUT} ${basename(dirname(base))}\n`)
  for (const [path, data] of Object.entries(files)) hash.update(`${path} ${data.length}\n`).update(data)
  return hash.digest('hex').slice(0, 32)
}

/** Its path, built unless it is in the cache. Throws CpuError ERR_CPU_VM_WRITE where there is no room, or none for us. */
export function machineImage(base: string, files: GuestFiles, key: string): Promise<string> {
  return cachedImage(key, temporary => extendImage(base, files, temporary))
}

/** Writes base image and further files into `target`, mode 0600. The base is cloned where the file system can. */
export async function extendImage(base: string, files: GuestFiles, target: string): Promise<void> {
  await copyFile(base, target, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL)
  await appendFiles(target, files)
}

async function appendFiles(target: string, files: GuestFiles): Promise<void> {
  const known = new Set(['etc', 'lib', 'lib/modules'])
  const entries = Object.entries(files).flatMap(([path, data]): CpioEntry[] => [
    ...parentDirectories(path, known),
    { type: 'file', path, data, mode: 0o600 },
  ])
  const file = await open(target, 'a', 0o600)
  try {
    await file.chmod(0o600)
    for await (const chunk of cpio(entries)) await file.appendFile(chunk)
  } finally {
    await file.close()
  }
}

/** Everything in the base image, in its order. */
async function baseEntries(
  node: string,
  parts: GuestParts,
  files: GuestFiles,
  snapshot: Buffer | undefined,
): Promise<CpioEntry[]> {
  const entries: CpioEntry[] = DIRECTORIES.map(path => ({ type: 'directory', path }))
  entries.push({ type: 'directory', path: 'tmp', mode: 0o1777 })
  // Before PID 1 has mounted devtmpfs there is nothing else in /dev.
  entries.push({ type: 'character-device', path: 'dev/console', major: 5, minor: 1 })
  entries.push({ type: 'character-device', path: 'dev/null', major: 1, minor: 3, mode: 0o666 })
  const known = new Set(DIRECTORIES)
  const add = (entry: CpioEntry) => entries.push(...parentDirectories(entry.path, known), entry)
  for (const [path, data] of Object.entries({ ...TEXT_FILES, ...files })) add({ type: 'file', path, data })
  for (const [path, from] of Object.entries(parts.libraries))
    add({ type: 'copy', path, from: await realpath(from), mode: 0o755 })
  add({ type: 'copy', path: 'cpu-harness/node', from: node, mode: 0o755 })
  for (const from of parts.bundle) add({ type: 'copy', path: `cpu-harness/${basename(from)}`, from })
  if (snapshot !== undefined) add({ type: 'file', path: SNAPSHOT, data: snapshot })
  const start = snapshot === undefined ? `\nrequire('${PROGRAM}')` : ` --snapshot-blob=${SNAPSHOT}`
  add({ type: 'file', path: 'init', data: `${INTERPRETER}${start}\n`, mode: 0o755 })
  for (const entry of parts.programs) add(entry)
  return entries
}

/** Names the image: small inputs by content, large ones by what stat says of them. */
async function imageKey(
  large: readonly string[],
  { bundle, programs }: GuestParts,
  lists: GuestFiles,
): Promise<string> {
  const texts = JSON.stringify([DIRECTORIES, TEXT_FILES, lists, programs.map(({ path }) => path)])
  const hash = createHash('sha256').update(`${LAYOUT}${texts}`)
  for (const path of large) {
    const { size, mtimeMs } = statSync(path)
    // Not the directory: the same file may be seen from a guest under another name.
    hash.update(`${basename(path)} ${size} ${mtimeMs}\n`)
  }
  for (const path of bundle) {
    hash.update(`${basename(path)}\n`)
    await pipeline(createReadStream(path), hash, { end: false })
  }
  return hash.digest('hex').slice(0, 32)
}

/** What of the bundle a guest needs. */
function guestFiles(directory: string): string[] {
  return readdirSync(directory)
    .filter(name => name === 'cpud.cjs' || name.endsWith('.node'))
    .sort()
    .map(name => join(directory, name))
}
