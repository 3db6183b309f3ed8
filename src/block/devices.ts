// The block devices of this machine, with the tags of fstab(5) that belong to each: read from the devices themselves,
// since an initramfs has no udev that would have done it.

import { readdir, readFile, realpath } from 'node:fs/promises'
import path from 'node:path'
import { type PartitionTags, partitionTags } from './partition-table.js'
import { readDevice } from './read-device.js'
import { readSuperblocks, type Superblock } from './superblocks.js'

export type TagName = 'UUID' | 'LABEL' | 'PARTUUID' | 'PARTLABEL'

export interface BlockDevice {
  readonly path: string
  readonly types: readonly string[]
  readonly tags: readonly (readonly [TagName, string])[]
  /** The code of the error that kept it from being read. */
  readonly unreadable: string | undefined
}

/** A device as sysfs has it: Documentation/ABI/stable/sysfs-block in Linux. */
interface SysfsDevice {
  /** Without links. That of a partition is within its disk's. */
  readonly directory: string
  readonly devicePath: string
  /** Undefined for a whole disk. */
  readonly partition: number | undefined
}

/** Of a drive without a medium, and of a device without a file in /dev: half of a multipath, or one just unplugged. */
const NOTHING_THERE = ['ENOMEDIUM', 'ENXIO', 'ENOENT']

/**
 * All that may hold a file system: not a disk with partitions, nor what another device is made of, such as the members
 * of a RAID. In the order of their names.
 */
export async function listBlockDevices(): Promise<BlockDevice[]> {
  const all = '/sys/class/block'
  const names = (await readdir(all).catch(() => [])).sort()
  const found = await Promise.all(names.map(name => candidate(path.join(all, name))))
  const devices = found.filter(device => device !== undefined)
  const disks = new Set(devices.filter(isPartition).map(({ directory }) => path.dirname(directory)))
  return Promise.all(devices.filter(({ directory }) => !disks.has(directory)).map(describe))
}

function isPartition({ partition }: SysfsDevice): boolean {
  return partition !== undefined
}

/** Undefined for one that has no size, is part of another, or has just been unplugged. */
async function candidate(link: string): Promise<SysfsDevice | undefined> {
  try {
    const directory = await realpath(link)
    const holders = await readdir(path.join(directory, 'holders'))
    const size = Number(await readFile(path.join(directory, 'size'), 'utf8'))
    return size === 0 || holders.length > 0 ? undefined : await sysfsDevice(directory)
  } catch {
    return undefined
  }
}

async function sysfsDevice(directory: string): Promise<SysfsDevice> {
  const uevent = await readFile(path.join(directory, 'uevent'), 'utf8')
  const number = /^PARTN=(\d+)$/m.exec(uevent)?.[1]
  return {
    directory,
    devicePath: `/dev/${/^DEVNAME=(.+)$/m.exec(uevent)?.[1]}`,
    partition: number === undefined ? undefined : Number(number),
  }
}

async function describe(device: SysfsDevice): Promise<BlockDevice> {
  const { devicePath } = device
  try {
    const superblocks = await readDevice(devicePath, readSuperblocks)
    const types = superblocks.map(({ type }) => type)
    const tags = tagsOf(superblocks, await tableTags(device))
    return { path: devicePath, types, tags, unreadable: undefined }
  } catch (error) {
    const { code = 'EIO' } = error as NodeJS.ErrnoException
    return {
      path: devicePath,
      types: [],
      tags: [],
      unreadable: NOTHING_THERE.includes(code) ? undefined : code,
    }
  }
}

async function tableTags({ directory, partition }: SysfsDevice): Promise<PartitionTags | undefined> {
  if (partition === undefined) return undefined
  const disk = await sysfsDevice(path.dirname(directory))
  const sectorSize = await readFile(path.join(disk.directory, 'queue/logical_block_size'), 'utf8')
  return readDevice(disk.devicePath, read => partitionTags(read, Number(sectorSize), partition))
}

function tagsOf(superblocks: readonly Superblock[], table: PartitionTags | undefined): BlockDevice['tags'] {
  const all: [TagName, string | undefined][] = [
    ...superblocks.map(({ uuid }): [TagName, string | undefined] => ['UUID', uuid]),
    ...superblocks.map(({ label }): [TagName, string | undefined] => ['LABEL', label]),
    ['PARTUUID', table?.partUuid],
    ['PARTLABEL', table?.partLabel],
  ]
  return all.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]))
}

/** The types of the file systems on a device. Throws a system error, ENOTBLK for what is no block device. */
export async function typesOf(devicePath: string): Promise<string[]> {
  return (await readDevice(devicePath, readSuperblocks)).map(({ type }) => type)
}
