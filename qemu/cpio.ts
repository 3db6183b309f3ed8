// Writes cpio archives in the "newc" format that the kernel unpacks as initramfs
// (Documentation/driver-api/early-userspace/buffer-format.rst in Linux). Owner is root and times are 0
// throughout, so that the same entries give the same bytes.

import { createReadStream, statSync } from 'node:fs'

/** Paths are absolute or relative alike; a parent directory must come before what is in it. */
export type CpioEntry =
  | { readonly type: 'directory'; readonly path: string; readonly mode?: number }
  | {
      readonly type: 'file'
      readonly path: string
      readonly mode?: number
      readonly data: Uint8Array | string
    }
  | { readonly type: 'copy'; readonly path: string; readonly mode?: number; readonly from: string }
  | { readonly type: 'symlink'; readonly path: string; readonly target: string }
  | {
      readonly type: 'character-device'
      readonly path: string
      readonly mode?: number
      readonly major: number
      readonly minor: number
    }

// File types in c_mode, as in <sys/stat.h>.
const S_IFDIR = 0o040000
const S_IFREG = 0o100000
const S_IFLNK = 0o120000
const S_IFCHR = 0o020000

/** Archives can be put one after the other when each is a multiple of this. */
const BLOCK = 512
const MAX_FILE_SIZE = 0xffff_ffff

interface Header {
  inode: number
  mode: number
  links: number
  size: number
  major: number
  minor: number
}

/** The archive's bytes, its end marker and padding to 512 included. */
export async function* cpio(entries: Iterable<CpioEntry>): AsyncGenerator<Uint8Array> {
  let inode = 0
  let length = 0
  for (const entry of entries) {
    const size = contentSize(entry)
    const header = encodeHeader(relative(entry.path), { ...describe(entry), inode: ++inode, size })
    yield header
    yield* content(entry, size)
    const padding = Buffer.alloc(paddingTo(4, size))
    yield padding
    length += header.length + size + padding.length
  }
  const trailer = encodeHeader('TRAILER!!!', { inode: 0, mode: 0, links: 1, size: 0, major: 0, minor: 0 })
  yield trailer
  yield Buffer.alloc(paddingTo(BLOCK, length + trailer.length))
}

/** Entries for the directories above `path`, outermost first, without those in `known`, to which they are added. */
export function parentDirectories(path: string, known: Set<string>): CpioEntry[] {
  const entries: CpioEntry[] = []
  const names = relative(path).split('/').slice(0, -1)
  for (let depth = 1; depth <= names.length; depth++) {
    const parent = names.slice(0, depth).join('/')
    if (known.has(parent)) continue
    known.add(parent)
    entries.push({ type: 'directory', path: parent })
  }
  return entries
}

function relative(path: string): string {
  return path.replace(/^\/+/, '')
}

function paddingTo(alignment: number, length: number): number {
  return (alignment - (length % alignment)) % alignment
}

function describe(entry: CpioEntry): Pick<Header, 'mode' | 'links' | 'major' | 'minor'> {
  switch (entry.type) {
    case 'directory':
      return { mode: S_IFDIR | (entry.mode ?? 0o755), links: 2, major: 0, minor: 0 }
    case 'file':
    case 'copy':
      return { mode: S_IFREG | (entry.mode ?? 0o644), links: 1, major: 0, minor: 0 }
    case 'symlink':
      return { mode: S_IFLNK | 0o777, links: 1, major: 0, minor: 0 }
    case 'character-device':
      return { mode: S_IFCHR | (entry.mode ?? 0o600), links: 1, major: entry.major, minor: entry.minor }
  }
}

function contentSize(entry: CpioEntry): number {
  if (entry.type === 'copy') {
    const { size } = statSync(entry.from)
    if (size > MAX_FILE_SIZE)
      throw new RangeError(`${entry.from}: more than 4 GiB do not fit into a cpio archive`)
    return size
  }
  if (entry.type === 'file') return Buffer.byteLength(entry.data)
  return entry.type === 'symlink' ? Buffer.byteLength(entry.target) : 0
}

async function* content(entry: CpioEntry, size: number): AsyncGenerator<Uint8Array> {
  if (entry.type === 'symlink') yield Buffer.from(entry.target)
  if (entry.type === 'file') yield typeof entry.data === 'string' ? Buffer.from(entry.data) : entry.data
  if (entry.type !== 'copy' || size === 0) return
  let read = 0
  // `end` keeps a file that grows meanwhile from spoiling the archive.
  for await (const chunk of createReadStream(entry.from, { highWaterMark: 1 << 20, end: size - 1 })) {
    read += (chunk as Buffer).length
    yield chunk as Buffer
  }
  if (read !== size) throw new Error(`${entry.from} shrank from ${size} to ${read} bytes while it was read`)
}

/** Magic, then thirteen numbers of eight hexadecimal digits, the name with its NUL, padding to 4. */
function encodeHeader(name: string, header: Header): Buffer {
  const nameSize = Buffer.byteLength(name) + 1
  const numbers = [
    header.inode,
    header.mode,
    0, // uid
    0, // gid
    header.links,
    0, // mtime
    header.size,
    0, // device of the file system
    0,
    header.major,
    header.minor,
    nameSize,
    0, // checksum, not used in newc
  ]
  const text = `070701${numbers.map(number => number.toString(16).padStart(8, '0')).join('')}${name}\0`
  const encoded = Buffer.from(text)
  return Buffer.concat([encoded, Buffer.alloc(paddingTo(4, encoded.length))])
}
