// Fetches Debian kernel packages with apt and unpacks them into the cache. Nothing is installed, and root is
// not needed.

import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { CpuError } from '../src/errors.js'
import { cached } from './cache.js'
import { cachedKernels, describeKernel, type Kernel, kernelCache } from './kernel.js'

export type DebianFlavour = 'amd64' | 'cloud-amd64'

export interface FetchOptions {
  /** By default `amd64`; `cloud-amd64` is smaller and has no 9P. */
  readonly flavour?: DebianFlavour | undefined
  readonly signal?: AbortSignal | undefined
  /** One line at a time. */
  readonly onProgress?: ((line: string) => void) | undefined
}

interface Package {
  readonly name: string
  readonly version: string
}

interface Outcome {
  readonly failed: boolean
  readonly stdout: string
  readonly stderr: string
}

const DOWNLOAD_LIMIT_MS = 15 * 60_000
const COMMAND_LIMIT_MS = 120_000

/**
 * The newest Debian kernel of a flavour, downloaded unless it is in the cache. Without a package list, which
 * means without network on a fresh machine, the newest of the cache is taken. Throws CpuError
 * ERR_CPU_VM_KERNEL_FETCH.
 */
export async function fetchDebianKernel(options: FetchOptions = {}): Promise<Kernel> {
  const { flavour = 'amd64' } = options
  const found = await resolvePackage(flavour, options)
  if (found === undefined) {
    const newest = (await cachedKernels()).filter(({ release }) => isFlavour(release, flavour)).at(-1)
    if (newest !== undefined) return newest
    throw fetchError(`apt knows no linux-image-${flavour}`, undefined)
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

function isFlavour(release: string, flavour: DebianFlavour): boolean {
  return release.endsWith(`-${flavour}`) && (flavour === 'cloud-amd64' || !release.endsWith('-cloud-amd64'))
}

/** What the metapackage depends on, the package lists being fetched first if there are none and we may. */
async function resolvePackage(flavour: DebianFlavour, options: FetchOptions): Promise<Package | undefined> {
  const known = await dependency(flavour, options)
  if (known !== undefined || process.getuid?.() !== 0) return known
  await updateLists(options)
  return dependency(flavour, options)
}

async function dependency(flavour: DebianFlavour, options: FetchOptions): Promise<Package | undefined> {
  const meta = `linux-image-${flavour}`
  const { stdout } = await run('apt-cache', ['show', '--no-all-versions', meta], COMMAND_LIMIT_MS, options)
  const match = /^Depends: .*?(linux-image-[\w.+-]+) \(= ([\w.+~:-]+)\)/m.exec(stdout)
  return match === null ? undefined : { name: match[1]!, version: match[2]! }
}

async function updateLists(options: FetchOptions): Promise<void> {
  options.onProgress?.("updating apt's package lists")
  await run('apt-get', ['-qq', 'update'], DOWNLOAD_LIMIT_MS, options)
}

async function downloadAndUnpack(wanted: Package, target: string, options: FetchOptions): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'cpu-harness-kernel-'))
  try {
    const download = () =>
      run(
        'apt-get',
        ['-q', 'download', `${wanted.name}=${wanted.version}`],
        DOWNLOAD_LIMIT_MS,
        options,
        directory,
      )
    let result = await download()
    if (result.failed && process.getuid?.() === 0) {
      // The archive drops versions that old package lists still name.
      await updateLists(options)
      result = await download()
    }
    const archive = (await readdir(directory)).find(name => name.endsWith('.deb'))
    if (result.failed || archive === undefined)
      throw fetchError(`apt-get cannot download ${wanted.name}`, result)
    options.onProgress?.(`unpacking ${archive}`)
    await mkdir(target, { recursive: true })
    const unpacked = await run(
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

/** Runs a command of Debian's; a missing one is an error, any other failure is for the caller to judge. */
async function run(
  command: string,
  args: readonly string[],
  timeoutMs: number,
  { signal }: FetchOptions,
  directory?: string,
): Promise<Outcome> {
  signal?.throwIfAborted()
  const result = await execa(command, args, {
    stdin: 'ignore',
    reject: false,
    timeout: timeoutMs,
    env: { LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
    ...(signal === undefined ? {} : { cancelSignal: signal }),
    ...(directory === undefined ? {} : { cwd: directory }),
  })
  signal?.throwIfAborted()
  if (result.failed && result.code === 'ENOENT') {
    throw new CpuError(
      'ERR_CPU_VM_KERNEL_FETCH',
      `no ${command} on this machine, which kernels are fetched with`,
      {
        remedy: 'on a system that is not Debian, name a kernel of your own with -kernel FILE',
      },
    )
  }
  return result
}

function fetchError(message: string, result: Outcome | undefined): CpuError {
  const said = (result?.stderr ?? '')
    .split('\n')
    .filter(line => line.startsWith('E:'))
    .at(-1)
  return new CpuError(
    'ERR_CPU_VM_KERNEL_FETCH',
    said === undefined ? message : `${message} (${said.slice(3)})`,
    {
      cause: result,
      remedy: 'check the network and run apt-get update, or name a kernel of your own with -kernel FILE',
    },
  )
}
