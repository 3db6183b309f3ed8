// What a kernel file is; and the ELF kernel taken out of a bzImage, so that QEMU can enter it directly by PVH: no decompressor has to run
// in the guest, which under TCG takes longer than the rest of the boot.
// Documentation/arch/x86/boot.rst in Linux has the setup header.

import { createHash } from 'node:crypto'
import { open, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync, constants as zlib } from 'node:zlib'
import { CpuError } from '../src/errors.js'
import { ARCHITECTURES, type Architecture, platforms } from './architecture.js'
import { cacheDirectory, cachedFile, pruneCache } from './cache.js'
import { decompress } from './decompress.js'
import { elfMachine, elfNotes, isElf64 } from './elf.js'

const XEN_ELFNOTE_PHYS32_ENTRY = 18 // include/xen/interface/elfnote.h

// Offsets of the setup header.
const SETUP_SECTS = 0x1f1
const HEADER_MAGIC = 0x202
const KERNEL_VERSION = 0x20e
const PAYLOAD_OFFSET = 0x248
const PAYLOAD_LENGTH = 0x24c
const MAGIC = 0x53726448 // HdrS

const ARM64_MAGIC_OFFSET = 56
const ARM64_MAGIC = 0x644d5241 // ARM, 0x64

const KEEP = 8

/** Whether the bytes start like a bzImage. */
export function isBzImage(image: Buffer): boolean {
  return image.length > 0x260 && image.readUInt32LE(HEADER_MAGIC) === MAGIC
}

/** What a kernel file says of itself. */
export interface KernelIdentity {
  /** As `uname -r` has it. */
  readonly release: string
  readonly architecture: Architecture
  readonly isElf: boolean
}

/** Of a bzImage, an arm64 Image (compressed by gzip or not) or a vmlinux; undefined for a file that is none of them. */
export async function identifyKernel(path: string): Promise<KernelIdentity | undefined> {
  const head = await readHead(path)
  const architecture = architectureOf(head)
  if (architecture === undefined) return undefined
  const release = isBzImage(head) ? bzImageRelease(head) : bannerRelease(await uncompressed(path))
  return release === undefined ? undefined : { release, architecture, isElf: isElf64(head) }
}

/** The same without a look at more than its beginning. */
export async function kernelArchitecture(path: string): Promise<Architecture | undefined> {
  return architectureOf(await readHead(path))
}

async function readHead(path: string): Promise<Buffer> {
  const file = await open(path)
  try {
    const head = Buffer.alloc(0x10000)
    const { bytesRead } = await file.read(head, 0, head.length, 0)
    return head.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

function architectureOf(head: Buffer): Architecture | undefined {
  if (isBzImage(head)) return 'x86_64'
  if (isElf64(head)) return ARCHITECTURES.find(name => platforms[name].elfMachine === elfMachine(head))
  return isArm64Image(head) || isArm64Image(unzippedHead(head)) ? 'aarch64' : undefined
}

/** Documentation/arm64/booting.rst in Linux has the header. */
function isArm64Image(image: Buffer): boolean {
  return image.length > 64 && image.readUInt32LE(ARM64_MAGIC_OFFSET) === ARM64_MAGIC
}

function unzippedHead(head: Buffer): Buffer {
  try {
    // What ends in the middle is as good here.
    return isGzip(head) ? gunzipSync(head, { finishFlush: zlib.Z_SYNC_FLUSH }) : head
  } catch {
    return head
  }
}

async function uncompressed(path: string): Promise<Buffer> {
  const data = await readFile(path)
  return isGzip(data) ? gunzipSync(data) : data
}

function bzImageRelease(head: Buffer): string | undefined {
  const start = head.readUInt16LE(KERNEL_VERSION) + 0x200
  return head.toString('latin1', start, head.indexOf(0, start)).split(' ')[0]
}

function bannerRelease(kernel: Buffer): string | undefined {
  const banner = kernel.indexOf('Linux version ')
  return banner < 0 ? undefined : kernel.toString('latin1', banner + 14, kernel.indexOf(' ', banner + 14))
}

function isGzip(data: Buffer): boolean {
  return data[0] === 0x1f && data[1] === 0x8b
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

/** The kernel within an image, be it one; undefined where it cannot be decompressed here. */
export async function uncompressedKernel(path: string): Promise<Buffer | undefined> {
  // Most are in the cache already.
  const image = await uncompressed(await bootImage(path))
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
  const compressed = isGzip(payload) ? payload : payload.subarray(0, -4)
  return decompress(compressed, subject)
}

function hasPvhEntry(vmlinux: Buffer): boolean {
  if (!isElf64(vmlinux)) return false
  return elfNotes(vmlinux).some(({ owner, type }) => owner === 'Xen' && type === XEN_ELFNOTE_PHYS32_ENTRY)
}
