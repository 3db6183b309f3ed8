// Which machines can go on from a snapshot, and which snapshot is for which machine: all that a guest is made of names it.

import { createHash } from 'node:crypto'
import { readFile, realpath, stat } from 'node:fs/promises'
import { findQemu } from './architecture.js'
import type { AttemptOptions } from './boot-attempt.js'
import { commandLine } from './devices.js'
import { bootDevice, kindDevices } from './machine-devices.js'
import type { MachineOptions, Settings } from './settings.js'

/** Increased whenever what is written changes. */
const LAYOUT = 1

/** Undefined where there is nothing against one. */
export function reasonAgainstSnapshot(settings: Settings, options: MachineOptions): string | undefined {
  if (settings.shares.length > 0) return 'virtiofsd cannot go on where another has been (-share, -root)'
  if (settings.disks.length > 0) return 'the guest knows what was on its disks then (-disk)'
  if (settings.root?.type === '9p') return 'QEMU cannot let go of files that it serves (-root 9p)'
  if (settings.vhostUserVsock !== undefined || settings.serial)
    return 'of its transport nothing is known (-net)'
  if (settings.machine !== 'q35') return `of the board ${settings.machine} nothing is known`
  if (settings.nested) return 'it is for guests of its own (-nested)'
  if (options.gdb || options.debug) return 'it is to be looked into (-gdb, -debug)'
  if ((options.qemuArgs ?? []).length > 0) return 'of other arguments of QEMU nothing is known (-qemu-arg)'
  if ((options.devices ?? []).length > 0) return 'of further devices nothing is known'
  return undefined
}

/**
 * Where any of this differs, another machine is meant: QEMU, its arguments, kernel and image. Also since when this host runs:
 * that long its processor is the same, and what was written is there without having been waited for (fsync).
 */
export async function snapshotKey(base: AttemptOptions): Promise<string> {
  const { settings, images, options } = base
  const hash = createHash('sha256')
  const add = (value: unknown) => hash.update(`${JSON.stringify(value)}\n`)
  add([LAYOUT, await readFile('/proc/sys/kernel/random/boot_id', 'latin1')])
  const boot = bootDevice({ settings, images: { ...images, machineImage: images.machineImageKey } })
  add(commandLine([...kindDevices(settings, options), boot]))
  const qemu = await realpath(findQemu(settings.kernel.architecture))
  for (const path of [qemu, images.bootImage, images.baseImage]) add(await fileIdentity(path))
  return hash.digest('hex').slice(0, 32)
}

async function fileIdentity(path: string) {
  const { dev, ino, size, mtimeMs, ctimeMs } = await stat(path)
  return [path, dev, ino, size, mtimeMs, ctimeMs]
}
