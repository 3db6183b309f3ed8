// The devices of a plan: `UUID=...` and its like become the paths of devices, type `auto` the type that is on the device.
// Called by cpud just before the mounts, since only the machine that mounts knows its devices. Follows fstab(5) and
// mount(8), "Indicating the device and filesystem".

import { realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { MS_REMOUNT } from '../linux/mount.js'
import type { Step } from '../namespace/plan.js'
import type { SessionPlan } from '../namespace/session-plan.js'
import { type BlockDevice, listBlockDevices, type TagName, typesOf } from './devices.js'

/** Why a line cannot be mounted, for its user. */
class Unresolved extends Error {}

/** Below /dev/disk, where udev runs. `ID` is udev's own: it is on no disk. */
const LINKS: Readonly<Record<TagName | 'ID', string>> = {
  UUID: 'by-uuid',
  LABEL: 'by-label',
  PARTUUID: 'by-partuuid',
  PARTLABEL: 'by-partlabel',
  ID: 'by-id',
}

/**
 * The plan with its devices. The steps of a line whose device is not there, or whose type nobody can tell, are left
 * out, and it is a problem, unless the line has `nofail`.
 */
export async function resolveDevices({ steps, problems }: SessionPlan): Promise<SessionPlan> {
  let devices: Promise<BlockDevice[]> | undefined
  const list = () => (devices ??= listBlockDevices())
  const resolved: Step[] = []
  const told = [...problems]
  const failed = new Set<string>()
  for (const step of steps) {
    try {
      resolved.push(await resolveStep(step, list))
    } catch (error) {
      if (!(error instanceof Unresolved)) throw error
      failed.add(step.origin)
      if (step.onFailure !== 'ignore')
        told.push({ severity: 'error', message: `${step.origin}: ${error.message}` })
    }
  }
  return { steps: resolved.filter(({ origin }) => !failed.has(origin)), problems: told }
}

async function resolveStep(step: Step, list: () => Promise<BlockDevice[]>): Promise<Step> {
  // what is mounted already is named by its mount point
  if (step.op !== 'mount' || step.flags & MS_REMOUNT) return step
  const source = await resolveSource(step.source, list)
  return { ...step, source, type: await resolveType(step.type, source) }
}

async function resolveSource(source: string, list: () => Promise<BlockDevice[]>): Promise<string> {
  const [, name, , value] = /^(UUID|LABEL|PARTUUID|PARTLABEL|ID)=(["']?)(.*)\2$/s.exec(source) ?? []
  if (name === undefined || value === undefined) return source
  const linked = await followLink(name as keyof typeof LINKS, value)
  return linked ?? findDevice(name, value, await list())
}

function findDevice(name: string, value: string, devices: readonly BlockDevice[]): string {
  const hasTag = ({ tags }: BlockDevice) => tags.some(tag => tag[0] === name && isSame(name, tag[1], value))
  const paths = devices.filter(hasTag).map(device => device.path)
  const wanted = `${name}=${quote(value)}`
  if (paths.length > 1)
    throw new Unresolved(`${wanted} is on ${paths.join(' and ')} (name one of them instead)`)
  if (paths[0] !== undefined) return paths[0]
  const seen = devices.filter(isTold).map(summary).join(', ') || 'no device with a tag'
  throw new Unresolved(`no device has ${wanted} (there is ${seen})`)
}

async function followLink(name: keyof typeof LINKS, value: string): Promise<string | undefined> {
  try {
    const device = await realpath(path.join('/dev/disk', LINKS[name], encodeForUdev(value)))
    return (await stat(device)).isBlockDevice() ? device : undefined
  } catch {
    return undefined
  }
}

/** As udev names links: every byte but letters, digits, `#+-.:=@_` and UTF-8 as `\xHH`. */
function encodeForUdev(name: string): string {
  return name.replace(/[\0-\x7f]/g, character =>
    /[\w#+\-.:=@]/.test(character)
      ? character
      : `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )
}

/** Of hexadecimal numbers the case does not matter, other than in mount(8). */
function isSame(name: string, one: string, other: string): boolean {
  return name.endsWith('UUID') ? one.toLowerCase() === other.toLowerCase() : one === other
}

/** By the superblock for `auto` and for a list such as `ext4,xfs`; any other type as it is. */
async function resolveType(type: string, source: string): Promise<string> {
  const allowed = type === 'auto' ? undefined : type.split(',')
  if (allowed?.length === 1) return type
  const present = await probe(type, source)
  const [found, ...others] = present.filter(name => allowed?.includes(name) ?? true)
  if (found !== undefined && others.length === 0) return found
  const content = present.length === 0 ? 'no file system that is known' : present.join(' and ')
  throw cannotTell(type, `${source} has ${content}`)
}

async function probe(type: string, source: string): Promise<string[]> {
  try {
    return await typesOf(source)
  } catch (error) {
    throw cannotTell(type, (error as Error).message)
  }
}

function cannotTell(type: string, fact: string): Unresolved {
  return new Unresolved(`type ${type}: ${fact} (name the file system type)`)
}

function isTold({ tags, unreadable }: BlockDevice): boolean {
  return tags.length > 0 || unreadable !== undefined
}

/** `/dev/vda1 ext4 UUID="..." LABEL="root"`. */
function summary({ path, types, tags, unreadable }: BlockDevice): string {
  const words = tags.map(([name, value]) => `${name}=${quote(value)}`)
  return [path, ...types, ...words, ...(unreadable === undefined ? [] : [unreadable])].join(' ')
}

/** What is on a disk may be for a terminal instead of for people. */
function quote(value: string): string {
  return JSON.stringify(value).replace(/[\p{C}\p{Z}]/gu, character =>
    character === ' ' ? ' ' : `\\u{${character.codePointAt(0)!.toString(16)}}`,
  )
}
