// Whether files are served, by which protocol, and what the other side may keep of them: from -files, -9p, -ssh, -cache,
// -msize and -mountopts.
import type { CPU_FLAGS } from '../cli/cpu-flags.js'
import type { ParsedFlags } from '../cli/flags.js'
import { UsageError } from '../errors.js'
import { CACHE_POLICIES, type CachePolicy } from '../fuse/session.js'
import type { FileProtocol } from '../namespace/file-protocol.js'
import { CACHE_MODES, type CacheMode, type NinePOptions } from '../namespace/ninep-mount.js'
import { parseNinePOptions } from '../namespace/ninep-options.js'

type Values = ParsedFlags<typeof CPU_FLAGS>['values']

export interface FileSettings {
  /** Best first; none when no files are served. */
  readonly protocols: readonly FileProtocol[]
  readonly cachePolicy: CachePolicy
  readonly mountOptions: NinePOptions
}

type Choice = NonNullable<Values['files']>

const protocolsOf: Record<Choice, readonly FileProtocol[]> = {
  auto: ['fuse', '9p'],
  fuse: ['fuse'],
  '9p': ['9p'],
  none: [],
}
/** What a policy of FUSE comes to by 9P. */
const modeOf: Partial<Record<CachePolicy, CacheMode>> = { strict: 'none' }

/** Throws UsageError for flags that contradict each other. */
export function fileSettings(values: Values): FileSettings {
  const { cache, msize, mountopts = '' } = values
  const mode = CACHE_MODES.find(mode => mode === cache)
  const policy = CACHE_POLICIES.find(policy => policy === cache)
  const files = filesOf(values)
  if (mode !== undefined && files === 'fuse')
    throw new UsageError(
      `-cache ${mode} is of 9P, and -files fuse asks for FUSE`,
      `with FUSE: ${CACHE_POLICIES.join(', ')}`,
    )
  if (policy !== undefined && policy !== 'auto' && files === '9p')
    throw new UsageError(
      `-cache ${policy} is of FUSE, and -files 9p asks for 9P`,
      `with 9P: ${CACHE_MODES.join(', ')}`,
    )
  const chosen = mode ?? (policy === undefined ? undefined : modeOf[policy])
  return {
    protocols: protocolsOf[files === 'auto' && mode !== undefined ? '9p' : files],
    cachePolicy: policy ?? 'auto',
    mountOptions: {
      ...parseNinePOptions(mountopts),
      ...(chosen === undefined ? {} : { cache: chosen }),
      ...(msize === undefined ? {} : { msize }),
      ...(values.ro ? { readOnly: true } : {}),
    },
  }
}

function filesOf({ files, '9p': isWanted, ssh }: Values): Choice {
  if (isWanted && !ssh) return files ?? 'auto'
  if (files === undefined || files === 'none') return 'none'
  const other = ssh ? '-ssh' : '-9p=false'
  throw new UsageError(`-files ${files} serves files, and ${other} serves none`, 'leave one of them out')
}
