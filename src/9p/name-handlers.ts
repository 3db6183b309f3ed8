// Requests about names and attributes: mkdir, mknod, symlink, link, rename, unlink, readlink, getattr, setattr,
// statfs and extended attributes.

import { type Failure, failure } from '../fs/failure.js'
import { attributeRecordSize, statfsRecordSize, type Time, type TreeNode } from '../fs/tree.js'
import { headerSize } from './codec.js'
import type { Message } from './messages.js'
import { type Handlers, qidOf, type Reply, type Session } from './session.js'
import { qid } from './wire.js'

/** P9_STATS_* and P9_ATTR_* of linux/include/net/9p */
const statsBasic = 0x7ffn
const statsBirth = 0x800n
const statsGeneration = 0x1000n
/** What an attribute record says. The generation is 0 always: the kernel asks for it, and compares it. */
const validWithoutBirth = statsBasic | statsGeneration
const validWithBirth = validWithoutBirth | statsBirth
const attr = {
  mode: 0x1,
  uid: 0x2,
  gid: 0x4,
  size: 0x8,
  atime: 0x10,
  mtime: 0x20,
  atimeSet: 0x80,
  mtimeSet: 0x100,
} as const
const removeDirectory = 0x200
/** Longest target of a link, PATH_MAX. */
const maxTarget = 4096
const maxXattrSize = 65536n
/** valid8 qid13 */
const getattrPrefix = 21

export const nameHandlers: Handlers<
  | 'Tmkdir'
  | 'Tmknod'
  | 'Tsymlink'
  | 'Tlink'
  | 'Trename'
  | 'Trenameat'
  | 'Tunlinkat'
  | 'Treadlink'
  | 'Tgetattr'
  | 'Tsetattr'
  | 'Tstatfs'
  | 'Txattrwalk'
  | 'Txattrcreate'
> = {
  Tmkdir: (session, { dfid, name, mode }, reply) =>
    made(session, dfid, 'Rmkdir', reply, directory => session.tree.makeDirectory(directory, name, mode)),

  Tmknod: (session, { dfid, name, mode, major, minor }, reply) =>
    made(session, dfid, 'Rmknod', reply, directory =>
      session.tree.makeNode(directory, name, mode, major, minor),
    ),

  Tsymlink: (session, { dfid, name, target }, reply) =>
    made(session, dfid, 'Rsymlink', reply, directory => session.tree.makeLink(directory, name, target)),

  Tlink(session, { dfid, fid, name }, reply) {
    const directory = session.fids.get(dfid)?.node
    const node = session.fids.get(fid)?.node
    if (directory === undefined || node === undefined) return failure.EBADF
    const result = session.tree.link(node, directory, name)
    return result < 0 ? result : reply.send('Rlink', {})
  },

  Trename(session, { fid, dfid, name }, reply) {
    const node = session.fids.get(fid)?.node
    const directory = session.fids.get(dfid)?.node
    if (directory === undefined || node === undefined) return failure.EBADF
    const result = session.tree.renameNode(node, directory, name)
    return result < 0 ? result : reply.send('Rrename', {})
  },

  Trenameat(session, { olddirfid, oldname, newdirfid, newname }, reply) {
    const from = session.fids.get(olddirfid)?.node
    const to = session.fids.get(newdirfid)?.node
    if (from === undefined || to === undefined) return failure.EBADF
    const result = session.tree.rename(from, oldname, to, newname)
    return result < 0 ? withoutFallback(result) : reply.send('Rrenameat', {})
  },

  Tunlinkat(session, { dirfid, name, flags }, reply) {
    const directory = session.fids.get(dirfid)?.node
    if (directory === undefined) return failure.EBADF
    const result = session.tree.unlink(directory, name, (flags & removeDirectory) !== 0)
    return result < 0 ? withoutFallback(result) : reply.send('Runlinkat', {})
  },

  Treadlink(session, { fid }, reply) {
    const node = session.fids.get(fid)?.node
    if (node === undefined) return failure.EBADF
    const room = Math.min(maxTarget, session.msize - headerSize - 2)
    const { bytes, at } = reply.body(2 + room)
    const length = session.tree.readlink(node, bytes, at + 2, room)
    if (length < 0) return length
    if (length === room) return failure.E2BIG // cut off, which would be another target
    bytes.writeUInt16LE(length, at)
    return reply.sendBody('Rreadlink', 2 + length)
  },

  Tgetattr(session, { fid }, reply) {
    const node = session.fids.get(fid)?.node
    if (node === undefined) return failure.EBADF
    const to = reply.body(getattrPrefix + attributeRecordSize)
    const hasBirth = session.tree.attributes(node, to.bytes, to.at + getattrPrefix)
    if (hasBirth < 0) return hasBirth
    to.u64(hasBirth > 0 ? validWithBirth : validWithoutBirth)
    qid.write(to, qidOf(node))
    return reply.sendBody('Rgetattr', getattrPrefix + attributeRecordSize)
  },

  Tsetattr(session, request, reply) {
    const fid = session.fids.get(request.fid)
    if (fid === undefined) return failure.EBADF
    const has = (bit: number) => (request.valid & bit) !== 0
    const change = {
      mode: has(attr.mode) ? request.mode : undefined,
      uid: has(attr.uid) ? request.uid : undefined,
      gid: has(attr.gid) ? request.gid : undefined,
      size: has(attr.size) ? request.size : undefined,
      accessTime: has(attr.atime) ? accessTime(request) : undefined,
      modificationTime: has(attr.mtime) ? modificationTime(request) : undefined,
    }
    const result = session.tree.setAttributes(fid.node, change, fid.file)
    return result < 0 ? result : reply.send('Rsetattr', {})
  },

  Tstatfs(session, { fid }, reply) {
    const node = session.fids.get(fid)?.node
    if (node === undefined) return failure.EBADF
    const { bytes, at } = reply.body(statfsRecordSize)
    const result = session.tree.statfs(node, bytes, at)
    // ENOSYS would make the kernel invent figures of its own, for ever.
    if (result < 0) return result === failure.ENOSYS ? failure.EIO : result
    return reply.sendBody('Rstatfs', statfsRecordSize)
  },

  /** The new fid is for reading the attribute, or with no name the list of names. */
  Txattrwalk(session, { fid: number, newfid, name }, reply) {
    const { tree, fids } = session
    const node = fids.get(number)?.node
    if (node === undefined) return failure.EBADF
    const vacancy = fids.vacancy(newfid)
    if (vacancy < 0) return vacancy
    const value = name === '' ? tree.listXattrs(node) : tree.getXattr(node, name)
    if (typeof value === 'number') return value
    tree.retain(node)
    const refusal = fids.setXattr(fids.add(newfid, node), { kind: 'read', value })
    if (refusal < 0) {
      fids.remove(newfid)
      return refusal
    }
    return reply.send('Rxattrwalk', { size: BigInt(value.length) })
  },

  /** The fid is for writing the attribute, which is set when it is clunked. */
  Txattrcreate(session, { fid: number, name, size, flags }, reply) {
    const fid = session.fids.get(number)
    if (fid === undefined) return failure.EBADF
    if (fid.file !== undefined || fid.xattr !== undefined) return failure.EBUSY
    if (session.tree.isReadOnly) return failure.EROFS
    if (size > maxXattrSize) return failure.E2BIG
    const value = Buffer.alloc(Number(size))
    const refusal = session.fids.setXattr(fid, { kind: 'write', name, flags, value, written: 0 })
    return refusal < 0 ? refusal : reply.send('Rxattrcreate', {})
  },
}

function made(
  session: Session,
  dfid: number,
  name: 'Rmkdir' | 'Rmknod' | 'Rsymlink',
  reply: Reply,
  make: (directory: TreeNode) => TreeNode | Failure,
): number {
  const directory = session.fids.get(dfid)?.node
  if (directory === undefined) return failure.EBADF
  const node = make(directory)
  if (typeof node === 'number') return node
  const made = qidOf(node)
  session.tree.release(node)
  return reply.send(name, { qid: made })
}

/** EOPNOTSUPP would make the kernel try Tremove and Trename instead, now and for ever. */
function withoutFallback(result: number): number {
  return result === failure.EOPNOTSUPP || result === failure.ENOSYS ? failure.EPERM : result
}

function accessTime({ valid, atimeSec, atimeNsec }: Message<'Tsetattr'>): Time | 'now' {
  return valid & attr.atimeSet ? time(atimeSec, atimeNsec) : 'now'
}

function modificationTime({ valid, mtimeSec, mtimeNsec }: Message<'Tsetattr'>): Time | 'now' {
  return valid & attr.mtimeSet ? time(mtimeSec, mtimeNsec) : 'now'
}

/** Seconds are signed, though the wire does not say so. */
function time(seconds: bigint, nanoseconds: bigint): Time {
  return { seconds: Number(BigInt.asIntN(64, seconds)), nanoseconds: Number(nanoseconds & 0xffffffffn) }
}
