// The messages of FUSE. This table is the specification in this code: types, codec, trace and tests derive from it.
// Fields stand in the order of the wire, after the header; what `linux/fuse.h` calls padding or unused is `_`. No kernel
// says SESSION_IDS: it is cpud's, by an opcode that is far from all of theirs ("CPU\x01").

import { type Field, type Fields, u32, u64 } from '../wire/fields.js'
import { bytes, i64, name } from './fields.js'

export interface RequestType<F = Fields> {
  readonly opcode: number
  readonly fields: F
}

function request<F>(opcode: number, fields: F): RequestType<F> {
  return { opcode, fields }
}

const lock = {
  fh: u64,
  owner: u64,
  start: u64,
  end: u64,
  type: u32,
  pid: u32,
  flags: u32,
  _: u32,
}
const read = { fh: u64, offset: u64, size: u32, readFlags: u32, lockOwner: u64, flags: u32, _: u32 }
const fsync = { fh: u64, fsyncFlags: u32, _: u32 }
const release = { fh: u64, flags: u32, releaseFlags: u32, lockOwner: u64 }

export const requests = {
  LOOKUP: request(1, { name }),
  FORGET: request(2, { nlookup: u64 }),
  GETATTR: request(3, { flags: u32, _: u32, fh: u64 }),
  SETATTR: request(4, {
    valid: u32,
    _: u32,
    fh: u64,
    size: u64,
    lockOwner: u64,
    atime: i64,
    mtime: i64,
    ctime: i64,
    atimensec: u32,
    mtimensec: u32,
    ctimensec: u32,
    mode: u32,
    _unused4: u32,
    uid: u32,
    gid: u32,
    _unused5: u32,
  }),
  READLINK: request(5, {}),
  SYMLINK: request(6, { name, target: name }),
  MKNOD: request(8, { mode: u32, rdev: u32, umask: u32, _: u32, name }),
  MKDIR: request(9, { mode: u32, umask: u32, name }),
  UNLINK: request(10, { name }),
  RMDIR: request(11, { name }),
  RENAME: request(12, { newdir: u64, name, newname: name }),
  LINK: request(13, { oldnodeid: u64, name }),
  OPEN: request(14, { flags: u32, openFlags: u32 }),
  READ: request(15, read),
  WRITE: request(16, {
    fh: u64,
    offset: u64,
    size: u32,
    writeFlags: u32,
    lockOwner: u64,
    flags: u32,
    _: u32,
    data: bytes,
  }),
  STATFS: request(17, {}),
  RELEASE: request(18, release),
  FSYNC: request(20, fsync),
  SETXATTR: request(21, { size: u32, flags: u32, name, value: bytes }),
  GETXATTR: request(22, { size: u32, _: u32, name }),
  LISTXATTR: request(23, { size: u32, _: u32 }),
  REMOVEXATTR: request(24, { name }),
  FLUSH: request(25, { fh: u64, _unused: u32, _: u32, lockOwner: u64 }),
  INIT: request(26, { major: u32, minor: u32, maxReadahead: u32, flags: u32, rest: bytes }),
  OPENDIR: request(27, { flags: u32, openFlags: u32 }),
  READDIR: request(28, read),
  RELEASEDIR: request(29, release),
  FSYNCDIR: request(30, fsync),
  GETLK: request(31, lock),
  SETLK: request(32, lock),
  SETLKW: request(33, lock),
  CREATE: request(35, { flags: u32, mode: u32, umask: u32, openFlags: u32, name }),
  INTERRUPT: request(36, { unique: u64 }),
  DESTROY: request(38, {}),
  BATCH_FORGET: request(42, { count: u32, _: u32, items: bytes }),
  READDIRPLUS: request(44, read),
  /**
   * Before INIT, at most once, without a reply: the ids of the session's user, where they are not those of whoever has
   * mounted (cpud without root). They stand for the server's own from then on, in attributes and in SETATTR. Neither is
   * 0xffffffff.
   */
  SESSION_IDS: request(0x4350_5501, { uid: u32, gid: u32 }),
} as const

export type RequestName = keyof typeof requests

type ValueOf<F> = F extends Field<infer T> ? T : never

/** The contents of a request, by its name. */
export type Request<N extends RequestName> = {
  -readonly [K in keyof (typeof requests)[N]['fields']]: ValueOf<(typeof requests)[N]['fields'][K]>
}
