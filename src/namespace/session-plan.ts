// A session's plan as cpud computes it: a /tmp of its own, the machine's files and the user's below it, then the
// user's fstab, in this order.

import { compileFstab } from '../fstab/compile.js'
import type { FstabProblem } from '../fstab/entry.js'
import { parseFstab } from '../fstab/parse.js'
import { MS_BIND, MS_NODEV, MS_NOSUID, MS_RDONLY, MS_REC } from '../linux/mount.js'
import type { FileProtocol } from './file-protocol.js'
import { fuseMountOptions } from './fuse-mount.js'
import { type NinePOptions, ninePMountOptions } from './ninep-mount.js'
import { FILE_DESCRIPTOR_PLACEHOLDER, MOUNT_ROOT, type MountStep, type Step } from './plan.js'

export interface SessionPlanOptions {
  /** The client's fstab, binds included; empty for none. */
  readonly fstabText: string
  /** What the session's file connection speaks, if there is one to mount. */
  readonly files: FileProtocol | undefined
  /** How to mount it. */
  readonly ninep?: NinePOptions
  /** `uname -r` of the machine on which the plan will run. */
  readonly release: string
  /** A mount of the fstab that fails ends the session. */
  readonly strict?: boolean
}

export interface SessionPlan {
  readonly steps: Step[]
  /** Lines that have no effect, and what was odd, to be told to the user. */
  readonly problems: FstabProblem[]
}

/**
 * Neither a file connection nor an fstab: no steps, the session is as ssh's. Throws CpuError ERR_CPU_CACHE_MODE for a
 * kernel that cannot mount the files as asked.
 */
export function sessionPlan(options: SessionPlanOptions): SessionPlan {
  const { fstabText, files, ninep, release, strict = false } = options
  if (files === undefined && fstabText.trim() === '') return { steps: [], problems: [] }
  const fstab = parseFstab(fstabText)
  const mounts = compileFstab(fstab.entries, { strict })
  return {
    steps: [
      ...baseSteps(),
      ...(files === undefined ? [] : [filesStep(files, release, ninep)]),
      ...mounts.steps,
    ],
    problems: [...fstab.problems, ...mounts.problems],
  }
}

function baseSteps(): Step[] {
  return [
    makeDirectory('/tmp', 0o1777),
    mount({ source: 'tmpfs', target: '/tmp', type: 'tmpfs', flags: MS_NOSUID | MS_NODEV, data: 'mode=1777' }),
    ...[MOUNT_ROOT, '/tmp/local', '/tmp/merge', '/tmp/root'].map(path => makeDirectory(path, 0o755)),
    // what the session's mounts will hide stays reachable here
    { ...mount({ source: '/', target: '/tmp/local', flags: MS_BIND | MS_REC }), onFailure: 'report' },
  ]
}

function filesStep(files: FileProtocol, release: string, ninep: NinePOptions | undefined): Step {
  const data =
    files === 'fuse' ? fuseMountOptions(FILE_DESCRIPTOR_PLACEHOLDER) : ninePMountOptions(release, ninep)
  const flags = MS_NOSUID | MS_NODEV | (ninep?.readOnly === true ? MS_RDONLY : 0)
  return { ...mount({ source: 'cpu', target: MOUNT_ROOT, type: files, flags, data }), origin: files }
}

function mount(fields: Pick<MountStep, 'source' | 'target' | 'flags'> & Partial<MountStep>): MountStep {
  return { op: 'mount', type: '', data: '', onFailure: 'abort', origin: 'session', ...fields }
}

function makeDirectory(path: string, mode: number): Step {
  return { op: 'mkdir', path, mode, onFailure: 'abort', origin: 'session' }
}
