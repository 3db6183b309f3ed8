// How the kernel mounts the file connection: options of v9fs, by what the machine's kernel can do.
// Documentation/filesystems/9p.rst in Linux has them.

import { CpuError } from '../errors.js'
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
  /** By FUSE too. */
  readonly readOnly?: boolean
  /** More options, comma-separated; they win over the others. */
  readonly extra?: string
}

const MAX_MSIZE = 1_048_576

/**
 * The data of mount(2), for the kernel that calls itself `release` (`uname -r`; empty for one that is not known yet).
 * Throws CpuError ERR_CPU_CACHE_MODE for a mode that this kernel lacks or breaks on.
 */
export function ninePMountOptions(release: string, options: NinePOptions = {}): string {
  const { cache = 'mmap', extra = '' } = options
  checkCache(release, cache)
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
  if (extra !== '') words.push(extra)
  return words.join(',')
}

/** Before 6.4 there is no readahead mode, and unmounting a loose one is a kernel BUG in fs/fscache/cookie.c. */
function checkCache(release: string, wanted: CacheMode): void {
  if (wanted === 'none' || wanted === 'mmap' || isAtLeast(release, 6, 4)) return
  throw new CpuError('ERR_CPU_CACHE_MODE', `-cache ${wanted} needs Linux 6.4, and this is ${release}`, {
    remedy: 'use -cache mmap or none, or boot a newer kernel',
  })
}

/** So is a release that is not known. */
function isAtLeast(release: string, major: number, minor: number): boolean {
  const [, thisMajor, thisMinor] = /^(\d+)\.(\d+)/.exec(release) ?? [0, major, minor]
  return Number(thisMajor) > major || (Number(thisMajor) === major && Number(thisMinor) >= minor)
}
