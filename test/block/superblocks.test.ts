// Against blkid(8), on images made by each file system's own tool.
import fs from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { readSuperblocks } from '../../src/block/superblocks.js'
import { blkid, formatImage, readImage, runTool, somethingIn } from '../fixtures/disk-image.js'
import { Random } from '../fixtures/random.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const directory = temporaryDirectory(t)
const at = (name: string): string => path.join(directory, name)
const content = somethingIn(directory)

const read = (image: string) => readImage(image, readSuperblocks)

async function agrees(t: Test, image: string, type: string, label: string | undefined) {
  const expected = blkid(image)
  t.match(expected, { type, label })
  t.strictSame(await read(image), [expected])
}

for (const [name, type, label, sizeMiB, mkfs] of [
  ['ext2', 'ext2', undefined, 4, ['mkfs.ext2', '-q']],
  ['ext3', 'ext3', 'three', 8, ['mkfs.ext3', '-q', '-L', 'three']],
  ['ext4', 'ext4', 'my disk', 8, ['mkfs.ext4', '-q', '-L', 'my disk']],
  [
    'ext4-without-journal',
    'ext4',
    'sixteen-letters-',
    8,
    ['mkfs.ext4', '-q', '-O', '^has_journal', '-L', 'sixteen-letters-'],
  ],
  ['xfs', 'xfs', 'twelve-bytes', 300, ['mkfs.xfs', '-q', '-L', 'twelve-bytes']],
  ['btrfs', 'btrfs', 'Größe', 128, ['mkfs.btrfs', '-q', '-L', 'Größe']],
  ['fat12', 'vfat', 'BOOT ME', 2, ['mkfs.vfat', '-F', '12', '-n', 'BOOT ME']],
  ['fat16', 'vfat', undefined, 32, ['mkfs.vfat', '-F', '16']],
  ['fat32', 'vfat', 'ELEVEN-BYTE', 64, ['mkfs.vfat', '-F', '32', '-n', 'ELEVEN-BYTE']],
  ['f2fs', 'f2fs', 'füchse', 64, ['mkfs.f2fs', '-q', '-l', 'füchse']],
] as const)
  t.test(name, async t => agrees(t, formatImage(at(name), sizeMiB, mkfs), type, label))

t.test('erofs, which has no label here', async t => {
  runTool('mkfs.erofs', ['-U', '01234567-89ab-cdef-0123-456789abcdef', at('erofs'), content])
  await agrees(t, at('erofs'), 'erofs', undefined)
})

t.test('iso9660', async t => {
  runTool('genisoimage', ['-quiet', '-R', '-V', 'A CD', '-o', at('iso'), content])
  await agrees(t, at('iso'), 'iso9660', 'A CD')
})

t.test('squashfs, which has neither UUID nor label', async t => {
  runTool('mksquashfs', [content, at('squashfs'), '-quiet', '-no-progress'])
  await agrees(t, at('squashfs'), 'squashfs', undefined)
})

t.test('the label of FAT behind files with long names', async t => {
  const image = formatImage(at('fat-label'), 2, ['mkfs.vfat'])
  const disk = fs.readFileSync(image)
  const root = (disk.readUInt16LE(14) + disk[16]! * disk.readUInt16LE(22)) * disk.readUInt16LE(11)
  const entry = (name: string, attributes: number) =>
    Buffer.from(name.padEnd(11) + String.fromCharCode(attributes), 'latin1')
  const entries = [
    entry('\xe5ELETED', 0x08),
    entry('Along-name', 0x0f),
    entry('DIRECTORY', 0x10),
    entry('FILE', 0x20),
    entry('LABEL', 0x28),
  ]
  for (const [index, bytes] of entries.entries()) bytes.copy(disk, root + index * 32)
  fs.writeFileSync(image, disk)
  await agrees(t, image, 'vfat', 'LABEL')
})

t.test('a journal that is a device of its own is no file system', async t => {
  t.same(await read(formatImage(at('journal'), 8, ['mkfs.ext4', '-q', '-O', 'journal_dev'])), [])
})

t.test('two file systems, one above the remains of the other', async t => {
  const image = formatImage(at('two'), 128, ['mkfs.btrfs', '-q'])
  const ext4 = fs.readFileSync(at('ext4')).subarray(0, 4096)
  const disk = fs.openSync(image, 'r+')
  fs.writeSync(disk, ext4, 0, ext4.length, 0)
  fs.closeSync(disk)
  t.same(
    (await read(image)).map(({ type }) => type),
    ['ext4', 'btrfs'],
  )
})

t.test('a root directory that is nowhere', async t => {
  for (const [name, change] of [
    ['in front of the disk', (disk: Buffer) => disk.fill(0, 44, 48)],
    ['farther than a number can say', (disk: Buffer) => disk.fill(0xff, 11, 48)],
  ] as const) {
    const disk = fs.readFileSync(at('fat32'))
    change(disk)
    disk.fill(0, 17, 19)
    fs.writeFileSync(at('damaged'), disk)
    t.match(await read(at('damaged')), [{ type: 'vfat', label: undefined }], name)
  }
})

t.test('what is cut off or damaged has tags of no more than their length', async t => {
  const random = new Random(20)
  const inMemory = (bytes: Buffer) => async (offset: number, length: number) =>
    bytes.subarray(Math.max(offset, 0), Math.max(offset, 0) + length)
  const longest = async (bytes: Buffer) => {
    const found = await readSuperblocks(inMemory(bytes))
    return Math.max(0, ...found.map(({ uuid = '', label = '' }) => Math.max(uuid.length, label.length)))
  }
  for (const image of ['fat12', 'fat32', 'iso', 'ext4', 'btrfs', 'f2fs']) {
    const start = fs.readFileSync(at(image)).subarray(0, 70_000)
    const lengths: number[] = []
    for (const length of [0, 511, 1200, 1600, 33_000, 65_800])
      lengths.push(await longest(start.subarray(0, length)))
    for (let round = 0; round < 200; round++) {
      const damaged = Buffer.from(start)
      // where fields are
      for (const base of [0, 1024, 32_768, 65_536]) damaged[base + random.below(128)] = random.below(256)
      lengths.push(await longest(damaged))
    }
    t.ok(Math.max(...lengths) <= 512, image)
  }
})
