// Which file system a block device holds, by the superblock at its start, with the UUID and label by which an fstab names
// it. What is read was written by whoever made the disk: every length is bounded here, and nothing is believed.

import { fatLabel } from './fat.js'
import { fieldText, type ReadAt } from './read-device.js'

export interface Superblock {
  /** For mount(2). */
  readonly type: string
  /** As blkid(8) writes it: lower case, but upper case for FAT. */
  readonly uuid: string | undefined
  readonly label: string | undefined
}

/** Where one type of file system says what it is. Offsets of fields are within its superblock. */
interface Layout {
  /** Undefined for what has that magic and cannot be mounted. */
  readonly type: string | ((block: Buffer) => string | undefined)
  readonly start: number
  /** Bytes, as latin1. */
  readonly magic: readonly [offset: number, bytes: string]
  readonly uuid?: (block: Buffer) => string | undefined
  readonly label?: (block: Buffer, read: ReadAt) => string | Promise<string>
}

const LAYOUTS: readonly Layout[] = [
  // struct ext4_super_block, fs/ext4/ext4.h
  { type: extType, start: 1024, magic: [56, '\x53\xef'], uuid: binaryUuid(104), label: text(120, 16) },
  // struct xfs_dsb, fs/xfs/libxfs/xfs_format.h
  { type: 'xfs', start: 0, magic: [0, 'XFSB'], uuid: binaryUuid(32), label: text(108, 12) },
  // struct btrfs_super_block, include/uapi/linux/btrfs_tree.h
  { type: 'btrfs', start: 65536, magic: [64, '_BHRfS_M'], uuid: binaryUuid(32), label: text(299, 256) },
  // struct f2fs_super_block, include/linux/f2fs_fs.h
  {
    type: 'f2fs',
    start: 1024,
    magic: [0, '\x10\x20\xf5\xf2'],
    uuid: binaryUuid(108),
    label: text(124, 1024, 'utf16le'),
  },
  // struct erofs_super_block, fs/erofs/erofs_fs.h
  { type: 'erofs', start: 1024, magic: [0, '\xe2\xe1\xf5\xe0'], uuid: binaryUuid(48), label: text(64, 16) },
  // struct squashfs_super_block, fs/squashfs/squashfs_fs.h
  { type: 'squashfs', start: 0, magic: [0, 'hsqs'] },
  // struct iso_primary_descriptor, fs/isofs/rock.h and include/uapi/linux/iso_fs.h; ECMA-119, 8.4
  { type: 'iso9660', start: 32768, magic: [0, '\x01CD001'], uuid: isoDate, label: text(40, 32) },
  // struct fat_boot_sector, include/uapi/linux/msdos_fs.h
  { type: 'vfat', start: 0, magic: [82, 'FAT32   '], uuid: serialNumber(67), label: fatLabel },
  { type: 'vfat', start: 0, magic: [54, 'FAT1'], uuid: serialNumber(39), label: fatLabel },
]

/** As far as the last superblock of the table reaches. */
const START_LENGTH = 65536 + 4096
const LONGEST = 2048

/**
 * All that are there: where there are several, as after a disk was formatted anew without being wiped, nobody but the
 * user knows which one is meant.
 */
export async function readSuperblocks(read: ReadAt): Promise<Superblock[]> {
  const bytes = await read(0, START_LENGTH)
  const found: Superblock[] = []
  for (const { type, start, magic, uuid, label } of LAYOUTS) {
    const block = bytes.subarray(start, start + LONGEST)
    const [offset, wanted] = magic
    // each is 512 bytes at least, with all fields but the label of btrfs and f2fs in them
    if (block.length < 512 || block.toString('latin1', offset, offset + wanted.length) !== wanted) continue
    const name = typeof type === 'string' ? type : type(block)
    if (name === undefined) continue
    found.push({ type: name, uuid: uuid?.(block), label: (await label?.(block, read)) || undefined })
  }
  return found
}

// EXT4_FEATURE_* of fs/ext4/ext4.h
const HAS_JOURNAL = 0x4
const JOURNAL_DEVICE = 0x8
/** What ext3 knows: FILETYPE, RECOVER, META_BG; SPARSE_SUPER, LARGE_FILE, BTREE_DIR. */
const EXT3_INCOMPATIBLE = 0x2 | 0x4 | 0x10
const EXT3_READ_ONLY_COMPATIBLE = 0x1 | 0x2 | 0x4

function extType(block: Buffer): string | undefined {
  const compatible = block.readUInt32LE(92)
  const incompatible = block.readUInt32LE(96)
  const readOnlyCompatible = block.readUInt32LE(100)
  if (incompatible & JOURNAL_DEVICE) return undefined
  if (incompatible & ~EXT3_INCOMPATIBLE || readOnlyCompatible & ~EXT3_READ_ONLY_COMPATIBLE) return 'ext4'
  return compatible & HAS_JOURNAL ? 'ext3' : 'ext2'
}

function binaryUuid(offset: number): (block: Buffer) => string | undefined {
  return block => {
    const hex = block.toString('hex', offset, offset + 16)
    return /^0+$/.test(hex) ? undefined : hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
  }
}

function serialNumber(offset: number): (block: Buffer) => string {
  return block => {
    const hex = block.readUInt32LE(offset).toString(16).toUpperCase().padStart(8, '0')
    return `${hex.slice(0, 4)}-${hex.slice(4)}`
  }
}

/** When it was last changed, else made, to a hundredth of a second: an ISO has nothing else of its own. */
function isoDate(block: Buffer): string | undefined {
  for (const offset of [830, 813]) {
    const digits = block.toString('latin1', offset, offset + 16)
    if (/^\d{16}$/.test(digits) && !/^0+$/.test(digits))
      return digits.replace(/^(....)(..)(..)(..)(..)(..)/, '$1-$2-$3-$4-$5-$6-')
  }
  return undefined
}

function text(offset: number, length: number, encoding: BufferEncoding = 'utf8') {
  return (block: Buffer): string => fieldText(block.subarray(offset, offset + length), encoding)
}
