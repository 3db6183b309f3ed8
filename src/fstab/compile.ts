// Turns fstab entries into the steps of a plan, as mount(8) would carry them out: a bind with `ro` is two
// mount(2) calls, and so is a mount with `private`.

import path from 'node:path'
import {
  MS_BIND,
  MS_MOVE,
  MS_NODEV,
  MS_NOSUID,
  MS_PER_MOUNT,
  MS_REC,
  MS_REMOUNT,
  MS_SILENT,
  MS_STRICTATIME,
} from '../linux/mount.js'
import { MOUNT_ROOT, type OnFailure, type Step } from '../namespace/plan.js'
import { nearestName } from '../nearest-name.js'
import type { FstabEntry, FstabProblem } from './entry.js'
import { KNOWN_WORDS, type MountOptions, parseMountOptions } from './mount-options.js'

export interface CompiledFstab {
  readonly steps: Step[]
  readonly problems: FstabProblem[]
}

/**
 * Swap, `noauto`, type `ignore` and mount point `none` yield nothing. A missing mount point is made, as a directory
 * unless the line says `x-cpu.file`. With `strict` a mount that fails ends the session.
 */
export function compileFstab(
  entries: readonly FstabEntry[],
  options: { strict?: boolean } = {},
): CompiledFstab {
  const steps: Step[] = []
  const problems: FstabProblem[] = []
  for (const entry of entries) {
    const mount = parseMountOptions(entry.options)
    if (isSkipped(entry, mount)) continue
    const say = (severity: FstabProblem['severity'], text: string) =>
      problems.push({ severity, message: `${entry.origin}: ${text}` })
    const error = mount.error ?? entryError(entry, mount)
    if (error !== undefined) {
      say('error', error)
      continue
    }
    for (const warning of entryWarnings(mount)) say('warning', warning)
    steps.push(
      ...entrySteps(entry, mount, mount.nofail ? 'ignore' : options.strict === true ? 'abort' : 'report'),
    )
  }
  return { steps, problems }
}

function isSkipped(entry: FstabEntry, mount: MountOptions): boolean {
  return mount.noauto || entry.type === 'swap' || entry.type === 'ignore' || entry.target === 'none'
}

function entryError({ target, type }: FstabEntry, mount: MountOptions): string | undefined {
  if (!target.startsWith('/')) return `mount point ${JSON.stringify(target)} is not an absolute path`
  if (mount.subdirectory?.split('/').includes('..') === true)
    return 'X-mount.subdir leads out of the file system'
  if ((mount.flags & (MS_BIND | MS_MOVE | MS_REMOUNT)) !== 0) return undefined
  if (type === 'bind') return 'type bind does not exist (write type none and option bind)'
  if (type !== 'none' || mount.propagation.length > 0) return undefined
  const meant = mount.data.split(',').flatMap(word => nearestName(word, KNOWN_WORDS, 1) ?? [])[0]
  return `type none needs the option bind, rbind, move or remount${didYouMean(meant)}`
}

function entryWarnings(mount: MountOptions): string[] {
  const warnings = mount.ignored.map(word => `option ${JSON.stringify(word)} is not supported and ignored`)
  const isBind = (mount.flags & (MS_BIND | MS_MOVE)) !== 0
  if (!isBind || mount.data === '') return warnings
  // a bind has no file system to give other words to, so they are mistakes
  for (const word of mount.data.split(','))
    warnings.push(`unknown option ${JSON.stringify(word)}${didYouMean(nearestName(word, KNOWN_WORDS, 1))}`)
  return warnings
}

function didYouMean(name: string | undefined): string {
  return name === undefined ? '' : ` (did you mean ${JSON.stringify(name)}?)`
}

function entrySteps(entry: FstabEntry, mount: MountOptions, onFailure: OnFailure): Step[] {
  const { origin, source, target } = entry
  const steps: Step[] = []
  const call = (flags: number, from = '', type = '', data = ''): void => {
    steps.push({ op: 'mount', source: from, target, type, flags: flags >>> 0, data, onFailure, origin })
  }
  const isBind = (mount.flags & MS_BIND) !== 0
  if ((mount.flags & MS_REMOUNT) !== 0) call(mount.flags, source, '', mount.data)
  else if (makesMount(entry, mount)) {
    steps.push(
      mount.isFile
        ? { op: 'touch', path: target, onFailure, origin }
        : { op: 'mkdir', path: target, mode: mount.mkdirMode ?? 0o755, onFailure, origin },
    )
    if ((mount.flags & MS_MOVE) !== 0) call(MS_MOVE, source)
    else if (isBind) call(mount.flags & (MS_BIND | MS_REC | MS_SILENT), source)
    else call(mount.flags, source, entry.type, mount.data)
    // on top of the whole file system, which it hides
    if (mount.subdirectory !== undefined) call(MS_BIND, path.posix.join(target, mount.subdirectory))
    const flags = isBind ? bindFlags(source, mount) : 0
    if (flags !== 0) call(MS_REMOUNT | MS_BIND | flags)
  }
  for (const kind of mount.propagation) call(kind)
  return steps
}

/** Not so for a line such as `none /mnt none private`, which only changes the mount that is there. */
function makesMount({ type }: FstabEntry, mount: MountOptions): boolean {
  return type !== 'none' || (mount.flags & (MS_BIND | MS_MOVE)) !== 0
}

/** Flags of a bind's own, which take a second call: the first one ignores them (`mount(2)`, "MS_BIND"). */
function bindFlags(source: string, mount: MountOptions): number {
  const flags = mount.flags & (MS_PER_MOUNT | MS_STRICTATIME)
  if (flags === 0 || !`${source}/`.startsWith(`${MOUNT_ROOT}/`)) return flags
  // the second call replaces all flags, also those the bind has from the mount of the user's files
  const nosuid = mount.flagWords.includes('suid') ? 0 : MS_NOSUID
  const nodev = mount.flagWords.includes('dev') ? 0 : MS_NODEV
  return flags | nosuid | nodev
}
