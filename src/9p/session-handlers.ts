// Requests about the connection and its fids: version, auth, attach, flush, walk, clunk, remove.

import { type Failure, failure } from '../fs/failure.js'
import type { ByteString, FileTree, TreeNode } from '../fs/tree.js'
import type { Fid } from './fids.js'
import { NOFID } from './messages.js'
import { type Handlers, qidOf, type Session } from './session.js'
import type { Qid } from './wire.js'

/** Below this, not even Rgetattr and Rwalk of 16 names would fit. */
const minMsize = 1024
const version = '9P2000.L'

export const sessionHandlers: Handlers<
  'Tversion' | 'Tauth' | 'Tattach' | 'Tflush' | 'Twalk' | 'Tclunk' | 'Tremove'
> = {
  /** Also in mid-stream: everything from before it is gone, fids and replies. */
  Tversion(session, request, reply) {
    const msize = Math.min(request.msize, session.msizeLimit)
    const isKnown = request.version === version
    if (isKnown && msize < minMsize) return failure.EINVAL
    session.reset(isKnown ? msize : 0)
    return reply.send('Rversion', { msize, version: isKnown ? version : 'unknown' })
  },

  /** Whoever has the connection has been authenticated where it was made. */
  Tauth: () => failure.EOPNOTSUPP,

  /** Everyone gets the same tree, with the rights of the local user. */
  Tattach(session, { fid, afid, aname }, reply) {
    if (afid !== NOFID) return failure.EBADF
    const vacancy = session.fids.vacancy(fid)
    if (vacancy < 0) return vacancy
    const node = walkPath(session.tree, aname)
    if (typeof node === 'number') return node
    session.fids.add(fid, node)
    return reply.send('Rattach', { qid: qidOf(node) })
  },

  /** What can be answered at once has been answered by now; what can not never will be, once Rflush is out. */
  Tflush(session, { oldtag }, reply) {
    session.flush(oldtag)
    return reply.send('Rflush', {})
  },

  Twalk(session, { fid: number, newfid, names }, reply) {
    const fid = session.fids.get(number)
    if (fid === undefined) return failure.EBADF
    if (fid.xattr !== undefined) return failure.EINVAL
    if (newfid === number && fid.file !== undefined && names.length > 0) return failure.EBUSY
    const vacancy = newfid === number ? 0 : session.fids.vacancy(newfid)
    if (vacancy < 0) return vacancy
    const qids: Qid[] = []
    const node = walk(session.tree, fid.node, names, qids)
    if (typeof node === 'number' && qids.length === 0) return node
    if (typeof node !== 'number') place(session, fid, newfid === number ? undefined : newfid, node)
    return reply.send('Rwalk', { qids })
  },

  Tclunk(session, { fid: number }, reply) {
    const fid = session.fids.get(number)
    if (fid === undefined) return failure.EBADF
    const result = applyXattr(session.tree, fid)
    session.fids.remove(number)
    return result < 0 ? result : reply.send('Rclunk', {})
  },

  /** The fid is gone even when the file can not be removed. */
  Tremove(session, { fid: number }, reply) {
    const fid = session.fids.get(number)
    if (fid === undefined) return failure.EBADF
    const result = session.tree.unlinkNode(fid.node)
    session.fids.remove(number)
    return result < 0 ? result : reply.send('Rremove', {})
  },
}

/** Gives a node just walked to, with its reference, to a new fid or to the old one. */
function place(session: Session, fid: Fid, newfid: number | undefined, node: TreeNode): void {
  if (newfid !== undefined) {
    session.fids.add(newfid, node)
    return
  }
  session.tree.release(fid.node)
  fid.node = node
}

/** Goes from name to name and notes every qid; the last node, or why it went no further. */
function walk(tree: FileTree, from: TreeNode, names: readonly ByteString[], qids: Qid[]): TreeNode | Failure {
  let node = from
  tree.retain(node)
  for (const name of names) {
    const next = tree.lookup(node, name)
    tree.release(node)
    if (typeof next === 'number') return next
    node = next
    qids.push(qidOf(node))
  }
  return node
}

/** The directory that a client asks to attach to: '' and '/' are the root; links are not followed. */
function walkPath(tree: FileTree, path: ByteString): TreeNode | Failure {
  const names = path.split('/').filter(name => name !== '')
  return walk(tree, tree.root, names, [])
}

/** Sets the attribute that was written to the fid; size 0 with "replace only" is how a removal is asked for. */
function applyXattr(tree: FileTree, { node, xattr }: Fid): number {
  if (xattr?.kind !== 'write') return 0
  const { name, flags, value, written } = xattr
  if (value.length === 0 && flags === 2) return tree.removeXattr(node, name)
  return written === value.length ? tree.setXattr(node, name, value, flags) : failure.EINVAL
}
