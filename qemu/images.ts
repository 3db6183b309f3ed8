// What a machine boots: its kernel, and its kind's root file system. Both are made once, and kept in the cache.

import { rm } from 'node:fs/promises'
import { GUEST_CONFIG_PATH, type GuestConfig } from '../src/cpud/guest-config.js'
import { DEFAULT_PORT } from '../src/transport/address.js'
import { removeCached, removeDamaged } from './cache.js'
import * as devices from './devices.js'
import { ROOT_TAG } from './guest-root.js'
import {
  baseImage,
  extendImage,
  furtherModules,
  type GuestFiles,
  guestModulePath,
  machineImage,
  machineImageKey,
} from './image.js'
import { kindDevices } from './machine-devices.js'
import { machineFiles } from './machine-directory.js'
import { type MachineOptions, type Settings, timed } from './settings.js'
import { bootImage } from './vmlinux.js'
import { isReadOnly, writeError } from './write-error.js'

export interface Images {
  /** The kernel as QEMU boots it. */
  readonly bootImage: string
  /** What all machines of this kernel have. */
  readonly baseImage: string
  /** The base image and what this kind of machine has besides. */
  readonly machineImage: string
  /** Names what is in it. */
  readonly machineImageKey: string
}

/**
 * Takes them from the cache, or makes them; that of the machine in its `directory`, if there is one, where the cache is only to be read.
 * Throws CpuError ERR_CPU_VM_WRITE and those of `baseImage`.
 */
export async function prepareImages(
  settings: Settings,
  options: MachineOptions,
  directory?: string,
): Promise<Images> {
  const { kernel, tree } = settings
  const boot = await timed(options, 'kernel', () => bootImage(kernel.image))
  return timed(options, 'image', async () => {
    const base = await baseImage({ kernel, tree, signal: options.signal, onProgress: options.onMessage })
    const files = await guestFiles(settings, options)
    const key = machineImageKey(base, files)
    const machine = await machineImage(base, files, key).catch(error => {
      if (directory === undefined || !isReadOnly(error)) throw error
      return ownImage(base, files, directory)
    })
    return { bootImage: boot, baseImage: base, machineImage: machine, machineImageKey: key }
  })
}

async function ownImage(base: string, files: GuestFiles, directory: string): Promise<string> {
  const { initrd } = machineFiles(directory)
  try {
    await rm(initrd, { force: true })
    await extendImage(base, files, initrd)
    return initrd
  } catch (error) {
    throw writeError(error, directory, 'XDG_RUNTIME_DIR')
  }
}

/** Looked at only when a boot fails: to read them takes longer than all else that is done before one. */
export async function removeDamagedImages(images: Images): Promise<boolean> {
  const paths = [images.bootImage, images.baseImage, images.machineImage]
  const removed = await Promise.all(paths.map(removeDamaged))
  // It may have been made of the damaged base, whole as it is.
  if (removed[1]) await removeCached(images.machineImage)
  return removed.includes(true)
}

/** What guests of this kind have that the base image has not. */
async function guestFiles(settings: Settings, options: MachineOptions): Promise<GuestFiles> {
  const { kernel, tree } = settings
  const { files: modules } = await tree.plan(devices.wantedModules(kindDevices(settings, options)))
  const { vsock } = kernel.features
  const hasVsock = settings.vsock || settings.vhostUserVsock !== undefined
  const listensOnVsock = vsock === 'unknown' ? hasVsock : vsock !== 'absent'
  const config: GuestConfig = {
    listen: [
      ...(settings.tcp ? [{ net: 'tcp', port: DEFAULT_PORT } as const] : []),
      ...(listensOnVsock ? [{ net: 'vsock', port: DEFAULT_PORT } as const] : []),
      ...(settings.serial ? [{ net: 'serial', name: devices.SERIAL_PORT_PREFIX } as const] : []),
    ],
    modules: modules.map(({ name }) => guestModulePath(kernel.release, name)),
    control: devices.controlDevice(settings.machine),
    ...(settings.root === undefined ? {} : { root: { type: settings.root.type, tag: ROOT_TAG } }),
    ...(settings.tcp ? { network: devices.USER_NETWORK } : {}),
  }
  return { [GUEST_CONFIG_PATH]: JSON.stringify(config), ...(await furtherModules(kernel, tree, modules)) }
}
