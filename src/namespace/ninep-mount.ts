// How the kernel mounts the file connection: options of v9fs, by what the machine's kernel can do.

import { FILE_DESCRIPTOR_PLACEHOLDER } from './plan.js'

/** `none`: nothing is cached; `readahead`: reads; `mmap`: writes too, sent at close; `loose`: names and attributes too. */
export const CACHE_MODES = ['none', 'readahead', 'mmap', 'loose'] as const

export type CacheMode = (typeof CACHE_MODES)[number]

export interface NinePOptions {
  /** Who attaches; the server of the files runs as one user and does not ask. */
  readonly user?: string
  /** Bytes of a message; 1 MiB, the kernel's limit, unless given. Memory-starved kernels before 6.19 want less. */
  readonly msize?: number
  readonly cache?: CacheMode
  /** More options, comma-separated; they win over the others. */
  readonly extra?: string
}

export interface NinePMount {
  /** Data of mount(2). */
  readonly data: string
  /** What was asked for and is not done, with the reason. */
  readonly warnings: string[]
}

const MAX_MSIZE = 1_048_576

/** Options for the kernel that calls itself `release` (`uname -r`). */
export function ninePMountOptions(release: string, options: NinePOptions = {}): NinePMount {
  const { cache, warnings } = supportedCache(release, options.cache ?? 'mmap')
  const words = [
    'version=9p2000.L',
    'trans=fd',
    `rfdno=${FILE_DESCRIPTOR_PLACEHOLDER}`,
    `wfdno=${FILE_DESCRIPTOR_PLACEHOLDER}`,
    // a comma would end the option
    `uname=${(options.user ?? 'root').replaceAll(',', '_')}`,
    `msize=${Math.min(options.msize ?? MAX_MSIZE, MAX_MSIZE)}`,
    // one attach and one set of fids: the server is one user anyway
    'access=any',
    // without it every write is preceded by a request for security.capability
    'noxattr',
    `cache=${cache}`,
  ]
  if (options.extra !== undefined && options.extra !== '') words.push(options.extra)
  return { data: words.join(','), warnings }
}

/** Before 6.4 there is no readahead mode, and unmounting a loose one is a kernel BUG in fs/fscache/cookie.c. */
function supportedCache(release: string, wanted: CacheMode): { cache: CacheMode; warnings: string[] } {
  if (wanted === 'none' || wanted === 'mmap' || isAtLeast(release, 6, 4))
    return { cache: wanted, warnings: [] }
  const warning = `-cache ${wanted} needs Linux 6.4, this is ${release}: using mmap`
  return { cache: 'mmap', warnings: [warning] }
}

function isAtLeast(release: string, major: number, minor: number): boolean {
  const [, thisMajor, thisMinor] = /^(\d+)\.(\d+)/.exec(release) ?? [0, 0, 0]
  return Number(thisMajor) > major || (Number(thisMajor) === major && Number(thisMinor) >= minor)
}
