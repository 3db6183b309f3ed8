// The label of a FAT file system: an entry of its root directory. (That of the boot sector is not kept up to date when
// the label is changed.) Follows Microsoft's "FAT: General Overview of On-Disk Format", 1.03, and struct msdos_dir_entry
// of include/uapi/linux/msdos_fs.h.

import { fieldText, type ReadAt } from './read-device.js'

const ENTRY_SIZE = 32
/** Of the root directory: the label is mostly its first entry. */
const MAX_LENGTH = 65536
// ATTR_VOLUME and ATTR_DIR; a part of a long name has all of ATTR_EXT
const VOLUME = 0x08
const DIRECTORY = 0x10
const LONG_NAME = 0x0f
const DELETED = 0xe5

/** Empty for none. `boot` is the boot sector, of FAT12, FAT16 or FAT32. */
export async function fatLabel(boot: Buffer, read: ReadAt): Promise<string> {
  const { offset, length } = rootDirectory(boot)
  const entries = await read(offset, Math.min(length, MAX_LENGTH))
  for (let at = 0; at + ENTRY_SIZE <= entries.length && entries[at] !== 0; at += ENTRY_SIZE) {
    const attributes = entries[at + 11]!
    if (entries[at] === DELETED || (attributes & LONG_NAME) === LONG_NAME) continue
    if ((attributes & (VOLUME | DIRECTORY)) === VOLUME)
      return fieldText(entries.subarray(at, at + 11), 'utf8')
  }
  return ''
}

/** In FAT32 it is as long as it likes; this is its first cluster. */
function rootDirectory(boot: Buffer): { offset: number; length: number } {
  const sector = boot.readUInt16LE(11)
  const cluster = boot[13]! * sector
  const fatLength = boot.readUInt16LE(22) || boot.readUInt32LE(36)
  const offset = (boot.readUInt16LE(14) + boot[16]! * fatLength) * sector
  const entries = boot.readUInt16LE(17)
  if (entries > 0) return { offset, length: entries * ENTRY_SIZE }
  return { offset: offset + (boot.readUInt32LE(44) - 2) * cluster, length: cluster }
}
