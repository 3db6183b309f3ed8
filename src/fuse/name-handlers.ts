// Requests about names and attributes.

import { type Failure, failure } from '../fs/failure.js'
import {
  type AttributeChange,
  type ByteString,
  statfsRecordSize,
  type Time,
  type TreeNode,
} from '../fs/tree.js'
import { Writer } from '../wire/fields.js'
import {
  attrReplySize,
  modeOf,
  putAttributesReply,
  replyAbsent,
  replyAttributes,
  replyEntry,
} from './entry.js'
import type { Request } from './messages.js'
import type { Owners } from './owners.js'
import { attrFlag, getattrByFile, replyHeaderSize } from './protocol.js'
import { deferredMessage, type Handlers, noReply, type Reply, type Session } from './session.js'

/** PATH_MAX */
const maxTarget = 4096
/** XATTR_SIZE_MAX, linux/limits.h */
const maxXattrSize = 65_536
/** struct fuse_kstatfs */
const statfsSize = 80
const setUserId = 0o4000
const setGroupId = 0o2000
const groupExecute = 0o010
const regularFile = 0o100000
const typeMask = 0o170000

export const nameHandlers: Handlers<
  | 'LOOKUP'
  | 'FORGET'
  | 'BATCH_FORGET'
  | 'GETATTR'
  | 'SETATTR'
  | 'READLINK'
  | 'SYMLINK'
  | 'MKNOD'
  | 'MKDIR'
  | 'UNLINK'
  | 'RMDIR'
  | 'RENAME'
  | 'LINK'
  | 'STATFS'
  | 'SETXATTR'
  | 'GETXATTR'
  | 'LISTXATTR'
  | 'REMOVEXATTR'
> = {
  LOOKUP: (session, { name }, { nodeid }, reply) =>
    inDirectory(session, nodeid, directory => {
      const node = session.tree.lookup(directory, name)
      if (node === failure.ENOENT) return replyAbsent(session, directory, name, reply)
      if (typeof node === 'number') return node
      return replyEntry(session, directory, name, node, reply)
    }),

  FORGET(session, { nlookup }, { nodeid }) {
    session.nodes.forget(nodeid, Number(nlookup))
    return noReply
  },

  BATCH_FORGET(session, { items }) {
    for (let at = 0; at + 16 <= items.length; at += 16)
      session.nodes.forget(Number(items.readBigUInt64LE(at)), Number(items.readBigUInt64LE(at + 8)))
    return noReply
  },

  GETATTR(session, { flags }, { nodeid }, reply) {
    const node = session.nodes.get(nodeid)
    if (node === undefined) return failure.ESTALE
    if (flags & getattrByFile && session.opensImplicitly && session.madeUp.mustFetch(nodeid, node))
      return { result: attributesToRead(session, nodeid, node) }
    return replyAttributes(session, nodeid, node, reply)
  },

  SETATTR(session, request, { nodeid }, reply) {
    const node = session.nodes.get(nodeid)
    if (node === undefined) return failure.ESTALE
    const file = request.valid & attrFlag.fh ? session.handles.get(request.fh) : undefined
    if (file !== undefined && file.node !== node) return failure.EBADF
    const result = session.tree.setAttributes(node, changeOf(request, session.owners), file)
    if (result < 0) return result
    if (request.valid & attrFlag.killSuidgid) dropPrivileges(session, node)
    return replyAttributes(session, nodeid, node, reply)
  },

  READLINK(session, _request, { nodeid }, reply) {
    const node = session.nodes.get(nodeid)
    if (node === undefined) return failure.ESTALE
    const to = reply.body(maxTarget)
    const length = session.tree.readlink(node, to.bytes, to.at, maxTarget)
    return length < 0 ? length : reply.end(length)
  },

  SYMLINK: (session, { name, target }, { nodeid }, reply) =>
    made(session, nodeid, name, reply, directory => session.tree.makeLink(directory, name, target)),

  MKNOD: (session, { name, mode, rdev }, { nodeid }, reply) =>
    made(session, nodeid, name, reply, directory =>
      session.tree.makeNode(directory, name, mode, major(rdev), minor(rdev)),
    ),

  MKDIR: (session, { name, mode }, { nodeid }, reply) =>
    made(session, nodeid, name, reply, directory => session.tree.makeDirectory(directory, name, mode)),

  UNLINK: (session, { name }, { nodeid }, reply) =>
    inDirectory(session, nodeid, directory => done(session.tree.unlink(directory, name, false), reply)),

  RMDIR: (session, { name }, { nodeid }, reply) =>
    inDirectory(session, nodeid, directory => done(session.tree.unlink(directory, name, true), reply)),

  RENAME: (session, { name, newdir, newname }, { nodeid }, reply) =>
    inDirectory(session, nodeid, from =>
      inDirectory(session, Number(newdir), to => {
        const result = session.tree.rename(from, name, to, newname)
        if (result === 0) session.renamed(from, name, to, newname)
        return done(result, reply)
      }),
    ),

  LINK: (session, { oldnodeid, name }, { nodeid }, reply) =>
    made(session, nodeid, name, reply, directory => {
      const node = session.nodes.get(Number(oldnodeid))
      if (node === undefined) return failure.ESTALE
      const result = session.tree.link(node, directory, name)
      if (result < 0) return result
      session.tree.retain(node)
      return node
    }),

  STATFS(session, _request, { nodeid }, reply) {
    const node = session.nodes.get(nodeid)
    if (node === undefined) return failure.ESTALE
    const record = Buffer.alloc(statfsRecordSize)
    const result = session.tree.statfs(node, record, 0)
    if (result < 0) return result
    const to = reply.body(statfsSize)
    to.bytes.fill(0, to.at, to.at + statfsSize)
    // blocks, bfree, bavail, files, ffree
    to.bytes.set(record.subarray(8, 48), to.skip(40))
    const blockSize = record.readUInt32LE(4)
    to.u32(blockSize)
    to.u32(record.readUInt32LE(56))
    to.u32(blockSize)
    return reply.end(statfsSize)
  },

  SETXATTR(session, { size, flags, name, value }, { nodeid }, reply) {
    const node = session.nodes.get(nodeid)
    if (node === undefined) return failure.ESTALE
    if (size !== value.length) return failure.EINVAL
    return done(session.tree.setXattr(node, name, value, flags), reply)
  },

  GETXATTR: (session, { size, name }, { nodeid }, reply) =>
    replyXattr(session, nodeid, size, reply, node => session.tree.getXattr(node, name)),

  LISTXATTR: (session, { size }, { nodeid }, reply) =>
    replyXattr(session, nodeid, size, reply, node => session.tree.listXattrs(node)),

  REMOVEXATTR(session, { name }, { nodeid }, reply) {
    const node = session.nodes.get(nodeid)
    if (node === undefined) return failure.ESTALE
    return done(session.tree.removeXattr(node, name), reply)
  },
}

/** Takes away set-user-id and set-group-id, as a write by anyone but root does. */
export function dropPrivileges(session: Session, node: TreeNode): void {
  const mode = modeOf(session, node)
  if ((mode & typeMask) !== regularFile) return
  const dropped = setUserId | (mode & groupExecute ? setGroupId : 0)
  if (mode & dropped) session.tree.setAttributes(node, { mode: mode & 0o7777 & ~dropped })
}

async function attributesToRead(session: Session, id: number, node: TreeNode) {
  session.tree.retain(node)
  const message = deferredMessage(attrReplySize)
  const to = new Writer(message)
  to.skip(replyHeaderSize)
  const fetched = await session.madeUp.fetch(id, node)
  const result = fetched < 0 ? fetched : putAttributesReply(session, id, node, to)
  session.tree.release(node)
  return result < 0 ? result : message
}

function inDirectory(session: Session, id: number, act: (directory: TreeNode) => number): number {
  const directory = session.nodes.get(id)
  if (directory === undefined) return failure.ESTALE
  if (directory.kind !== 'directory') return failure.ENOTDIR
  session.validity(directory) // watched first, or what changes just now is missed
  return act(directory)
}

function done(result: number, reply: Reply): number {
  return result < 0 ? result : reply.empty()
}

function made(
  session: Session,
  id: number,
  name: ByteString,
  reply: Reply,
  make: (directory: TreeNode) => TreeNode | Failure,
): number {
  return inDirectory(session, id, directory => {
    const node = make(directory)
    return typeof node === 'number' ? node : replyEntry(session, directory, name, node, reply)
  })
}

/** With no room at all, the length is what is asked for. */
function replyXattr(
  session: Session,
  id: number,
  size: number,
  reply: Reply,
  fetch: (node: TreeNode) => Uint8Array | Failure,
): number {
  const node = session.nodes.get(id)
  if (node === undefined) return failure.ESTALE
  const value = fetch(node)
  if (typeof value === 'number') return value
  if (size === 0) {
    const to = reply.body(8)
    to.u32(value.length)
    to.u32(0)
    return reply.end(8)
  }
  if (value.length > Math.min(size, maxXattrSize)) return failure.ERANGE
  const to = reply.body(value.length)
  to.bytes.set(value, to.at)
  return reply.end(value.length)
}

/** Bits as in MKDEV of the kernel's userspace encoding (linux/kdev_t.h: new_decode_dev). */
function major(device: number): number {
  return (device >>> 8) & 0xfff
}

function minor(device: number): number {
  return (device & 0xff) | ((device >>> 12) & 0xfff00)
}

function changeOf(request: Request<'SETATTR'>, owners: Owners | undefined): AttributeChange {
  const { valid } = request
  const has = (flag: number) => (valid & flag) !== 0
  return {
    mode: has(attrFlag.mode) ? request.mode & 0o7777 : undefined,
    uid: has(attrFlag.uid) ? (owners?.uidHere(request.uid) ?? request.uid) : undefined,
    gid: has(attrFlag.gid) ? (owners?.gidHere(request.gid) ?? request.gid) : undefined,
    size: has(attrFlag.size) ? request.size : undefined,
    accessTime: has(attrFlag.atime)
      ? time(has(attrFlag.atimeNow), request.atime, request.atimensec)
      : undefined,
    modificationTime: has(attrFlag.mtime)
      ? time(has(attrFlag.mtimeNow), request.mtime, request.mtimensec)
      : undefined,
  }
}

function time(isNow: boolean, seconds: bigint, nanoseconds: number): Time | 'now' {
  return isNow ? 'now' : { seconds: Number(seconds), nanoseconds }
}
