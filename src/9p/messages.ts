// The messages of 9P2000.L. This table is the specification in this code: the types, the codec (codec.ts), the
// trace and the round-trip tests derive from it. Fields stand in the order of the wire; each message is
// `size[4] type[1] tag[2]` and its fields, and a reply has its request's type plus one.
//
// https://github.com/chaos/diod/blob/master/protocol.md, linux/include/net/9p/9p.h

import { type Field, type Fields, u8, u16, u32, u64 } from '../wire/fields.js'
import { bits32, bits64, data, mode, names, qid, qids, text } from './wire.js'

export interface MessageType<F = Fields> {
  readonly type: number
  readonly fields: F
}

function message<F>(type: number, fields: F): MessageType<F> {
  return { type, fields }
}

const region = { type: u8, start: u64, length: u64, processId: u32, clientId: text }

export const messages = {
  Rlerror: message(7, { ecode: u32 }),
  Tstatfs: message(8, { fid: u32 }),
  Rstatfs: message(9, {
    type: bits32,
    bsize: u32,
    blocks: u64,
    bfree: u64,
    bavail: u64,
    files: u64,
    ffree: u64,
    fsid: u64,
    namelen: u32,
  }),
  Tlopen: message(12, { fid: u32, flags: bits32 }),
  Rlopen: message(13, { qid, iounit: u32 }),
  Tlcreate: message(14, { fid: u32, name: text, flags: bits32, mode, gid: u32 }),
  Rlcreate: message(15, { qid, iounit: u32 }),
  Tsymlink: message(16, { dfid: u32, name: text, target: text, gid: u32 }),
  Rsymlink: message(17, { qid }),
  Tmknod: message(18, { dfid: u32, name: text, mode, major: u32, minor: u32, gid: u32 }),
  Rmknod: message(19, { qid }),
  Trename: message(20, { fid: u32, dfid: u32, name: text }),
  Rrename: message(21, {}),
  Treadlink: message(22, { fid: u32 }),
  Rreadlink: message(23, { target: text }),
  Tgetattr: message(24, { fid: u32, mask: bits64 }),
  Rgetattr: message(25, {
    valid: bits64,
    qid,
    mode,
    uid: u32,
    gid: u32,
    nlink: u64,
    rdev: u64,
    size: u64,
    blksize: u64,
    blocks: u64,
    atimeSec: u64,
    atimeNsec: u64,
    mtimeSec: u64,
    mtimeNsec: u64,
    ctimeSec: u64,
    ctimeNsec: u64,
    btimeSec: u64,
    btimeNsec: u64,
    gen: u64,
    dataVersion: u64,
  }),
  Tsetattr: message(26, {
    fid: u32,
    valid: bits32,
    mode,
    uid: u32,
    gid: u32,
    size: u64,
    atimeSec: u64,
    atimeNsec: u64,
    mtimeSec: u64,
    mtimeNsec: u64,
  }),
  Rsetattr: message(27, {}),
  Txattrwalk: message(30, { fid: u32, newfid: u32, name: text }),
  Rxattrwalk: message(31, { size: u64 }),
  Txattrcreate: message(32, { fid: u32, name: text, size: u64, flags: u32 }),
  Rxattrcreate: message(33, {}),
  Treaddir: message(40, { fid: u32, offset: u64, count: u32 }),
  Rreaddir: message(41, { data }),
  Tfsync: message(50, { fid: u32, datasync: u32 }),
  Rfsync: message(51, {}),
  Tlock: message(52, { fid: u32, type: u8, flags: bits32, ...withoutType(region) }),
  Rlock: message(53, { status: u8 }),
  Tgetlock: message(54, { fid: u32, ...region }),
  Rgetlock: message(55, region),
  Tlink: message(70, { dfid: u32, fid: u32, name: text }),
  Rlink: message(71, {}),
  Tmkdir: message(72, { dfid: u32, name: text, mode, gid: u32 }),
  Rmkdir: message(73, { qid }),
  Trenameat: message(74, { olddirfid: u32, oldname: text, newdirfid: u32, newname: text }),
  Rrenameat: message(75, {}),
  Tunlinkat: message(76, { dirfid: u32, name: text, flags: bits32 }),
  Runlinkat: message(77, {}),
  Tversion: message(100, { msize: u32, version: text }),
  Rversion: message(101, { msize: u32, version: text }),
  Tauth: message(102, { afid: u32, uname: text, aname: text, nUname: u32 }),
  Rauth: message(103, { aqid: qid }),
  Tattach: message(104, { fid: u32, afid: u32, uname: text, aname: text, nUname: u32 }),
  Rattach: message(105, { qid }),
  Tflush: message(108, { oldtag: u16 }),
  Rflush: message(109, {}),
  Twalk: message(110, { fid: u32, newfid: u32, names }),
  Rwalk: message(111, { qids }),
  Tread: message(116, { fid: u32, offset: u64, count: u32 }),
  Rread: message(117, { data }),
  Twrite: message(118, { fid: u32, offset: u64, data }),
  Rwrite: message(119, { count: u32 }),
  Tclunk: message(120, { fid: u32 }),
  Rclunk: message(121, {}),
  Tremove: message(122, { fid: u32 }),
  Rremove: message(123, {}),
} as const

function withoutType({ start, length, processId, clientId }: typeof region) {
  return { start, length, processId, clientId }
}

export type MessageName = keyof typeof messages
export type RequestName = Extract<MessageName, `T${string}`>
export type ReplyName = Exclude<MessageName, RequestName>

type ValueOf<F> = F extends Field<infer T> ? T : never

/** The contents of a message, by its name. */
export type Message<N extends MessageName> = {
  -readonly [K in keyof (typeof messages)[N]['fields']]: ValueOf<(typeof messages)[N]['fields'][K]>
}

/** No tag (Tversion) and no fid (Tattach without authentication). */
export const NOTAG = 0xffff
export const NOFID = 0xffffffff
