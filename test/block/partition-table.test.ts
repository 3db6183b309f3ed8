// Against partx(8), on tables made by sfdisk(8).
import fs from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { partitionTags } from '../../src/block/partition-table.js'
import { makeDisk, partx, readImage, runTool } from '../fixtures/disk-image.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const directory = temporaryDirectory(t)
const at = (name: string): string => path.join(directory, name)

const read = (image: string, number: number, sectorSize = 512) =>
  readImage(image, read => partitionTags(read, sectorSize, number))

t.test('GPT', async t => {
  const longest = 'abcdefghijklmnopqrstuvwxyz0123456789'
  const image = makeDisk(at('gpt'), 'gpt', [{ name: 'my root' }, { name: 'böot' }, {}, { name: longest }])
  for (const [number, expected] of partx(image)) t.strictSame(await read(image, number), expected)
  t.equal((await read(image, 2)).partLabel, 'böot')
  t.equal((await read(image, 4)).partLabel, longest)

  // what sfdisk(8) would write on such a disk
  const small = fs.readFileSync(image)
  const large = Buffer.alloc(64 * 1024)
  small.copy(large, 0, 0, 512)
  small.copy(large, 4096, 512, 1024)
  small.copy(large, 8192, 1024, 1024 + 128 * 128)
  fs.writeFileSync(at('4k'), large)
  t.strictSame(await read(at('4k'), 2, 4096), await read(image, 2), 'with sectors of 4 KiB')
})

t.test('MBR, with a logical partition', async t => {
  fs.writeFileSync(at('mbr'), '')
  fs.truncateSync(at('mbr'), 16 * 2 ** 20)
  const table =
    'label: dos\nlabel-id: 0x00c0ffee\nsize=1MiB\nsize=8MiB, type=5\nstart=4MiB, size=1MiB, type=83\n'
  runTool('sfdisk', ['-q', at('mbr')], table)
  const expected = partx(at('mbr'))
  t.same([...expected.keys()], [1, 2, 5])
  for (const [number, tags] of expected) t.strictSame(await read(at('mbr'), number), tags)
  t.equal((await read(at('mbr'), 5)).partUuid, '00c0ffee-05')
})

t.test('what is no table says nothing', async t => {
  const none = { partUuid: undefined, partLabel: undefined }
  const gpt = fs.readFileSync(at('gpt'))
  const damaged = (change: (disk: Buffer) => void): string => {
    const disk = Buffer.from(gpt)
    change(disk)
    fs.writeFileSync(at('damaged'), disk)
    return at('damaged')
  }
  t.strictSame(
    await read(
      damaged(disk => disk.fill(0, 510, 512)),
      1,
    ),
    none,
    'no boot signature',
  )
  t.strictSame(
    await read(
      damaged(disk => disk.fill(0, 512, 520)),
      1,
    ),
    none,
    'no header',
  )
  t.strictSame(
    await read(
      damaged(disk => disk.fill(0xff, 512 + 72, 512 + 80)),
      1,
    ),
    none,
    'entries beyond everything',
  )
  t.strictSame(
    await read(
      damaged(disk => disk.fill(0xff, 512 + 84, 512 + 88)),
      2,
    ),
    none,
    'entries of 4 GiB',
  )
  fs.writeFileSync(at('damaged'), gpt.subarray(0, 300))
  t.strictSame(await read(at('damaged'), 1), none, 'less than a sector')
})
