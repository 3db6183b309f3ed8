// Attributes and entries as FUSE has them, from the records of a FileTree.

import { failure } from '../fs/failure.js'
import { attributeRecordSize, type ByteString, type TreeNode } from '../fs/tree.js'
import type { Writer } from '../wire/fields.js'
import { isMadeUp } from './made-up-files.js'
import type { Owners } from './owners.js'
import { ROOT_ID } from './protocol.js'
import type { Reply, Session } from './session.js'
import { absent } from './told-names.js'

/** struct fuse_attr, fuse_attr_out, fuse_entry_out */
export const attrSize = 88
export const attrReplySize = 16 + attrSize
export const entrySize = 40 + attrSize

const record = new Uint8Array(attributeRecordSize)
const view = new DataView(record.buffer)
/** Where the record has what; times are sec8 nsec8. */
const at = { mode: 0, uid: 4, gid: 8, nlink: 12, rdev: 20, size: 28, blksize: 36, blocks: 44 } as const
const times = [52, 68, 84] as const
const regularFile = 0o100000
const typeMask = 0o170000

/** Writes struct fuse_attr, with another size if one is given; a negative errno when the node has none (any more). */
function putAttributes(session: Session, node: TreeNode, to: Writer, size?: number): number {
  const result = session.tree.attributes(node, record, 0)
  if (result < 0) return result
  to.u64(node.id)
  to.u64(BigInt(size ?? view.getBigUint64(at.size, true)))
  copy64(to, at.blocks)
  for (const time of times) copy64(to, time)
  for (const time of times) copy32(to, time + 8)
  copy32(to, at.mode)
  copy32(to, at.nlink)
  putOwner(session.owners, to)
  copy32(to, at.rdev)
  copy32(to, at.blksize)
  to.u32(0)
  return 0
}

function putOwner(owners: Owners | undefined, to: Writer): void {
  const uid = view.getUint32(at.uid, true)
  const gid = view.getUint32(at.gid, true)
  to.u32(owners?.uidThere(uid) ?? uid)
  to.u32(owners?.gidThere(gid) ?? gid)
}

/** The mode with its type bits, 0 when there is none (any more). */
export function modeOf(session: Session, node: TreeNode): number {
  return session.tree.attributes(node, record, 0) < 0 ? 0 : view.getUint32(at.mode, true)
}

/**
 * The seconds for which attributes just written hold, where names hold for `validity`. Those of a file with other
 * names can change without a word from the directory that is watched.
 */
function attributeValidity(session: Session, node: TreeNode, validity: number): number {
  const isFile = (view.getUint32(at.mode, true) & typeMask) === regularFile
  return isFile && view.getUint32(at.nlink, true) > 1
    ? Math.min(validity, 1)
    : session.attributeValidity(node, validity)
}

/** Replies with the attributes of a node. */
export function replyAttributes(session: Session, id: number, node: TreeNode, reply: Reply): number {
  const result = putAttributesReply(session, id, node, reply.body(attrReplySize))
  return result < 0 ? result : reply.end(attrReplySize)
}

/** Writes struct fuse_attr_out. */
export function putAttributesReply(session: Session, id: number, node: TreeNode, to: Writer): number {
  // Nobody was told of the root by name.
  const validity = id === ROOT_ID ? session.validity(node) : session.nodes.validity(id)
  const start = to.at
  to.skip(16)
  const result = putAttributes(session, node, to, session.madeUp.sizeOf(id))
  to.at = start
  to.u64(BigInt(attributeValidity(session, node, validity)))
  to.u64(0n)
  return result
}

/**
 * Writes struct fuse_entry_out, by which the kernel gets to know the node once more, by that name. Takes over the
 * caller's reference, which is released when that fails.
 */
export function putEntry(
  session: Session,
  directory: TreeNode,
  name: ByteString,
  node: TreeNode,
  to: Writer,
): number {
  const start = to.at
  to.skip(entrySize - attrSize)
  const isNew = session.nodes.idOf(node) === undefined
  if (isNew && !session.nodes.hasRoom) {
    session.tree.release(node)
    return failure.ENFILE
  }
  const id = session.nodes.add(node, session.opensImplicitly && isMadeUp(node))
  // What is made in it changes its attributes: it is watched before they are told.
  if (node.kind === 'directory') session.validity(node)
  const result = putAttributes(session, node, to)
  if (result < 0) {
    session.nodes.forget(id, 1)
    return result
  }
  const end = to.at
  to.at = start
  const validity = session.told(directory, name, id)
  session.nodes.setValidity(id, validity)
  to.u64(BigInt(id))
  to.u64(0n)
  to.u64(BigInt(validity))
  to.u64(BigInt(attributeValidity(session, node, validity)))
  to.u64(0n)
  to.at = end
  return 0
}

/** Replies with an entry; takes over the reference. */
export function replyEntry(
  session: Session,
  directory: TreeNode,
  name: ByteString,
  node: TreeNode,
  reply: Reply,
): number {
  const result = putEntry(session, directory, name, node, reply.body(entrySize))
  return result < 0 ? result : reply.end(entrySize)
}

/** Says that there is nothing of that name, and for how long that holds. */
export function replyAbsent(session: Session, directory: TreeNode, name: ByteString, reply: Reply): number {
  const validity = session.told(directory, name, absent)
  if (validity === 0) return failure.ENOENT
  const to = reply.body(entrySize)
  to.bytes.fill(0, to.at, to.at + entrySize)
  to.skip(16)
  to.u64(BigInt(validity))
  return reply.end(entrySize)
}

function copy64(to: Writer, from: number): void {
  to.u32(view.getUint32(from, true))
  to.u32(view.getUint32(from + 4, true))
}

function copy32(to: Writer, from: number): void {
  to.u32(view.getUint32(from, true))
}
