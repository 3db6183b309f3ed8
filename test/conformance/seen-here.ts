// What the checks of suite.py leave behind, looked at from the side that has the files.
import fs from 'node:fs'
import path from 'node:path'
import type { Test } from 'tap'
import type { Way } from './guest.js'

/** `at` leads into the directory of all checks of one way; `tells` is what the check told. */
type Look = (t: Test, at: (...parts: string[]) => string, tells: unknown, way: Way) => void

export const SEEN_HERE: Readonly<Record<string, Look>> = {
  contents(t, at) {
    t.equal(fs.readFileSync(at('contents/new'), 'utf8'), 'ONE ')
    t.equal(fs.statSync(at('contents/big')).size, 3 * 1_048_576 + 3)
    t.equal(fs.statSync(at('contents/read-only')).mode & 0o7777, 0o400)
    t.equal(fs.readFileSync(at('contents/read-only'), 'utf8'), 'written once')
  },
  appending(t, at) {
    t.equal(fs.readFileSync(at('appending/log'), 'utf8').split('\n').length, 201)
  },
  renaming(t, at) {
    t.same(fs.readdirSync(at('renaming')).sort(), ['c', 'other'])
    t.equal(fs.readFileSync(at('renaming/c/file'), 'utf8'), 'in it')
  },
  unlinking(t, at) {
    t.same(fs.readdirSync(at('unlinking')), ['file'])
    t.equal(fs.readFileSync(at('unlinking/file'), 'utf8'), 'another of the name')
  },
  hard_links(t, at) {
    const [two, three] = [fs.statSync(at('hard_links/two')), fs.statSync(at('hard_links/below/three'))]
    t.same([two.nlink, two.ino], [2, three.ino])
  },
  symlinks(t, at) {
    t.equal(fs.readlinkSync(at('symlinks/long')).length, 4095)
    t.match(fs.readlinkSync(at('symlinks/absolute')), /\/symlinks\/file$/)
    t.same(fs.readlinkSync(at('symlinks/bytes'), 'buffer'), Buffer.from([0xfe, 0xff]))
  },
  directories(t, at) {
    t.same(fs.readdirSync(at('directories/a')).sort(), ['b2', 'b3'])
  },
  modes(t, at) {
    for (const mode of ['0000', '4755', '2755', '6711', '1777', '0640'])
      t.equal(fs.statSync(at('modes', mode)).mode & 0o7777, Number.parseInt(mode, 8), mode)
    const { uid, gid } = fs.statSync(at('modes/masked'))
    t.same([uid, gid], [1234, 5678])
    t.equal(fs.statSync(at('modes/masked-directory')).mode & 0o7777, 0o3770)
  },
  times(t, at, tells) {
    for (const [name, time] of Object.entries(tells as Record<string, string>))
      t.equal(fs.statSync(at('times', name), { bigint: true }).mtimeNs, BigInt(time), name)
  },
  sparse(t, at) {
    const { size, blocks } = fs.statSync(at('sparse/sparse'))
    t.equal(size, 2 ** 32 + 2)
    t.ok(blocks < 200, `${blocks} blocks`)
  },
  mapping(t, at) {
    const mapped = fs.readFileSync(at('mapping/mapped'), 'latin1')
    t.equal(mapped.slice(4090, 4102), 'across pages')
    t.equal(mapped.slice(8192, 8197), 'child')
    t.equal(mapped.slice(-5), '.tail')
    t.notMatch(mapped, /never/)
  },
  names(t, at) {
    const names = fs.readdirSync(at('names'), 'buffer').map(name => name.toString('latin1'))
    for (const name of ['n'.repeat(255), '\xfe\xff', 'caf\xe9', 'new\nline', 'back\\slash', '\x01\x7f'])
      t.ok(names.includes(name), JSON.stringify(name))
  },
  listing(t, at) {
    t.equal(fs.readdirSync(at('../listing')).filter(name => name.startsWith('file-')).length, 2000)
  },
  special(t, at) {
    t.ok(fs.lstatSync(at('special/fifo')).isFIFO())
    t.ok(fs.lstatSync(at('special/socket')).isSocket())
  },
  device_nodes(t, at) {
    t.same(fs.readdirSync(at('device_nodes')), ['moved'])
    t.ok(fs.lstatSync(at('device_nodes/moved')).isCharacterDevice())
  },
  statistics(t, at, tells, way) {
    const { bsize, blocks } = fs.statfsSync(at('statistics'))
    // QEMU rounds down to blocks as large as its messages
    const rounding = way === 'virtio-9p' ? 512_000 : 1
    t.equal(Math.floor((bsize * blocks - Number(tells)) / rounding), 0, `${tells} of ${bsize * blocks}`)
  },
  other_user(t, at) {
    t.equal(fs.readFileSync(at('other_user/open/named'), 'utf8'), 'by another')
  },
  threads(t, at) {
    t.equal(fs.readdirSync(at('threads')).length, 160)
  },
  unflushed(t, at) {
    const mapped = fs.readFileSync(at('unflushed/mapped'))
    t.equal(mapped.length, 1_048_576 + 7)
    t.equal(mapped.subarray(-7).toString(), 'the end')
    for (let page = 0; page < 1_048_576; page += 4096)
      if (mapped.readUInt32LE(page) !== page) t.fail(`the page at ${page} did not come home`)
  },
}

/** Into the directory in which the checks of one way have worked. */
export function below(directory: string): (...parts: string[]) => string {
  return (...parts) => path.join(directory, ...parts)
}
