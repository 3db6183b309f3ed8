// A plan in the words of mkdir(1), touch(1) and mount(8), for -dry-run and logs.

import { formatMountFlags } from '../fstab/mount-options.js'
import {
  MS_BIND,
  MS_MOVE,
  MS_PRIVATE,
  MS_PROPAGATION,
  MS_REC,
  MS_REMOUNT,
  MS_SHARED,
  MS_SLAVE,
} from '../linux/mount.js'
import { quoteWord } from '../ssh/quote.js'
import type { MountStep, Step } from './plan.js'

/** One command per step, quoted for a shell, with its origin as a comment; each with its line feed. */
export function formatPlan(steps: readonly Step[]): string {
  return steps.map(step => `${commandOf(step).map(quoteWord).join(' ')}  # ${step.origin}\n`).join('')
}

function commandOf(step: Step): string[] {
  switch (step.op) {
    case 'mkdir':
      return ['mkdir', '-p', '-m', step.mode.toString(8).padStart(4, '0'), step.path]
    case 'touch':
      return ['touch', step.path]
    case 'mount':
      return ['mount', ...mountArguments(step)]
  }
}

function mountArguments(step: MountStep): string[] {
  const { source, target, flags } = step
  const recursive = (flags & MS_REC) === 0 ? '' : 'r'
  const words = [...formatMountFlags(flags), ...(step.data === '' ? [] : [step.data])]
  if ((flags & MS_PROPAGATION) !== 0) return [`--make-${recursive}${propagationName(flags)}`, target]
  if ((flags & MS_REMOUNT) !== 0) {
    if ((flags & MS_BIND) !== 0) words.splice(words.indexOf('remount') + 1, 0, 'bind')
    return ['-o', words.join(','), target]
  }
  if ((flags & MS_MOVE) !== 0) return ['--move', source, target]
  const kind = (flags & MS_BIND) === 0 ? ['-t', step.type] : [`--${recursive}bind`]
  return [...kind, ...(words.length === 0 ? [] : ['-o', words.join(',')]), source, target]
}

function propagationName(flags: number): string {
  if ((flags & MS_PRIVATE) !== 0) return 'private'
  if ((flags & MS_SHARED) !== 0) return 'shared'
  return (flags & MS_SLAVE) !== 0 ? 'slave' : 'unbindable'
}
