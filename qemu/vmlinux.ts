// Takes the ELF kernel out of a bzImage, so that QEMU can enter it directly by PVH: no decompressor has to run
// in the guest, which under TCG takes longer than the rest of the boot.
// Documentation/arch/x86/boot.rst in Linux has the setup header.

import { createHash } from 'node:crypto'
import { open, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CpuError } from '../src/errors.js'
import { cacheDirectory, cachedFile, pruneCache } from './cache.js'
import { decompress } from './decompress.js'
import { elfNotes, isElf64 } from './elf.js'

const XEN_ELFNOTE_PHYS32_ENTRY = 18 // include/xen/interface/elfnote.h

// Offsets of the setup header.
const SETUP_SECTS = 0x1f1
const HEADER_MAGIC = 0x202
const KERNEL_VERSION = 0x20e
const PAYLOAD_OFFSET = 0x248
const PAYLOAD_LENGTH = 0x24c
const MAGIC = 0x53726448 // HdrS

const KEEP = 8

/** Whether the bytes start like a bzImage. */
export function isBzImage(image: Buffer): boolean {
  return image.length > 0x260 && image.readUInt32LE(HEADER_MAGIC) === MAGIC
}

/** The `uname -r` of a bzImage or of a vmlinux; undefined for a file that is neither. */
export async function kernelRelease(path: string): Promise<string | undefined> {
  const file = await open(path)
  try {
    const head = Buffer.alloc(0x10000)
    const { bytesRead } = await file.read(head, 0, head.length, 0)
    const image = head.subarray(0, bytesRead)
    if (isBzImage(image)) {
      const start = image.readUInt16LE(KERNEL_VERSION) + 0x200
      return image.toString('latin1', start, image.indexOf(0, start)).split(' ')[0]
    }
    if (!isElf64(image)) return undefined
  } finally {
    await file.close()
  }
  const data = await readFile(path)
  const banner = data.indexOf('Linux version ')
  return banner < 0 ? undefined : data.toString('latin1', banner + 14, data.indexOf(' ', banner + 14))
}

/**
 * Path of what QEMU should boot for a kernel image: the PVH vmlinux out of it, from the cache after the first
 * time, or the image itself when there is none in it or it cannot be decompressed here.
 */
export async function bootImage(path: string): Promise<string> {
  const image = await readFile(path)
  if (!isBzImage(image)) return path
  const hash = createHash('sha256').update(image).digest('hex').slice(0, 32)
  const directory = join(cacheDirectory(), 'vmlinux')
  let vmlinux: string
  try {
    vmlinux = await cachedFile(join(directory, `${hash}.elf`), async temporary => {
      await writeFile(temporary, (await extractVmlinux(image, path)) ?? '')
    })
  } catch (error) {
    // Nothing to remember: the command that was missing may be there next time, or not be interrupted.
    if (error instanceof CpuError && error.code === 'ERR_CPU_VM_DECOMPRESS') return path
    throw error
  }
  await pruneCache(directory, KEEP)
  // An empty file is the memory of a kernel without a PVH entry.
  return (await stat(vmlinux)).size === 0 ? path : vmlinux
}

/** The ELF kernel of an image, be it one; undefined where it cannot be decompressed here. */
export async function uncompressedKernel(path: string): Promise<Buffer | undefined> {
  // Most are in the cache already.
  const image = await readFile(await bootImage(path))
  return isBzImage(image) ? decompressPayload(image, path).catch(() => undefined) : image
}

/** The ELF kernel in a bzImage, if it has a PVH entry. Throws as `decompress`. */
export async function extractVmlinux(image: Buffer, subject: string): Promise<Buffer | undefined> {
  const vmlinux = await decompressPayload(image, subject)
  return hasPvhEntry(vmlinux) ? vmlinux : undefined
}

function decompressPayload(image: Buffer, subject: string): Promise<Buffer> {
  const start = (image.readUInt8(SETUP_SECTS) + 1) * 512 + image.readUInt32LE(PAYLOAD_OFFSET)
  const payload = image.subarray(start, start + image.readUInt32LE(PAYLOAD_LENGTH))
  // All but gzip have the size of the content put behind them by the kernel's build.
  const isGzip = payload[0] === 0x1f && payload[1] === 0x8b
  const compressed = isGzip ? payload : payload.subarray(0, -4)
  return decompress(compressed, subject)
}

function hasPvhEntry(vmlinux: Buffer): boolean {
  if (!isElf64(vmlinux)) return false
  return elfNotes(vmlinux).some(({ owner, type }) => owner === 'Xen' && type === XEN_ELFNOTE_PHYS32_ENTRY)
}
