// Reading of a block device, and of text in fixed fields on it.

import { constants } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { errnoNumber } from '../linux/errno.js'
import { systemError } from '../native/binding.js'

/** Bytes of a device; fewer than asked for, or none, behind its end. */
export type ReadAt = (offset: number, length: number) => Promise<Buffer>

/** Throws a system error, ENOTBLK for what is no block device: other devices may do things when they are just opened. */
export async function readDevice<T>(devicePath: string, use: (read: ReadAt) => Promise<T>): Promise<T> {
  if (!(await stat(devicePath)).isBlockDevice())
    throw systemError(-errnoNumber('ENOTBLK')!, 'open', devicePath)
  // which does not wait for a medium
  const device = await open(devicePath, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    return await use(readerOf(device))
  } finally {
    await device.close()
  }
}

/** Of a device or an image. */
export function readerOf(device: FileHandle): ReadAt {
  return async (offset, length) => {
    // places are computed from what is on the disk, which may be anything
    if (!Number.isSafeInteger(offset) || offset < 0) return Buffer.alloc(0)
    const { buffer, bytesRead } = await device.read(Buffer.alloc(length), 0, length, offset)
    return buffer.subarray(0, bytesRead)
  }
}

/** Up to the first NUL, without the spaces that fill it up. */
export function fieldText(field: Buffer, encoding: BufferEncoding): string {
  return field.toString(encoding).replace(/\0.*$/s, '').replace(/\s+$/, '')
}
