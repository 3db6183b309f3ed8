// What a partition table says of one partition: its UUID and name, of a GPT (UEFI 2.10, 5.3) or an MBR (5.2). The kernel
// has found the partition there, so checksums and the copy at the end of the disk are its business.

import { fieldText, type ReadAt } from './read-device.js'

export interface PartitionTags {
  readonly partUuid: string | undefined
  readonly partLabel: string | undefined
}

const SIGNATURE_OFFSET = 440
const RECORDS_OFFSET = 446
const RECORD_SIZE = 16
/** OSType of the record that protects a GPT from those who know no such thing. */
const PROTECTIVE = 0xee
const GPT_ENTRY_SIZE = 128

/** `read` reads the disk, whose logical sectors are that large; partitions are counted from 1, as the kernel does. */
export async function partitionTags(
  read: ReadAt,
  sectorSize: number,
  number: number,
): Promise<PartitionTags> {
  const mbr = await read(0, 512)
  if (mbr.length < 512 || mbr.readUInt16LE(510) !== 0xaa55) return noTags
  const types = [0, 1, 2, 3].map(index => mbr[RECORDS_OFFSET + index * RECORD_SIZE + 4])
  if (types.includes(PROTECTIVE)) return gptTags(read, sectorSize, number)
  const signature = mbr.readUInt32LE(SIGNATURE_OFFSET)
  return {
    partUuid: signature === 0 ? undefined : `${hex(signature, 8)}-${hex(number, 2)}`,
    partLabel: undefined,
  }
}

const noTags: PartitionTags = { partUuid: undefined, partLabel: undefined }

async function gptTags(read: ReadAt, sectorSize: number, number: number): Promise<PartitionTags> {
  const header = await read(sectorSize, 512)
  if (header.length < 512 || header.toString('latin1', 0, 8) !== 'EFI PART') return noTags
  const entries = Number(header.readBigUInt64LE(72)) * sectorSize
  const entry = await read(entries + (number - 1) * header.readUInt32LE(84), GPT_ENTRY_SIZE)
  if (entry.length < GPT_ENTRY_SIZE) return noTags
  return {
    partUuid: guid(entry.subarray(16, 32)),
    partLabel: fieldText(entry.subarray(56), 'utf16le') || undefined,
  }
}

/** The first three numbers are little-endian (UEFI 2.10, appendix A). */
function guid(bytes: Buffer): string {
  const ends = bytes.toString('hex', 8)
  return [
    hex(bytes.readUInt32LE(0), 8),
    hex(bytes.readUInt16LE(4), 4),
    hex(bytes.readUInt16LE(6), 4),
    ends.slice(0, 4),
    ends.slice(4),
  ].join('-')
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0')
}
