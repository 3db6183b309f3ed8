// Directories as FUSE has them: struct fuse_dirent, with READDIRPLUS a struct fuse_entry_out before each.

import { failure } from '../fs/failure.js'
import type { OpenFile, TreeNode } from '../fs/tree.js'
import type { Writer } from '../wire/fields.js'
import { entrySize, putEntry } from './entry.js'
import type { Reply, Session } from './session.js'

/** ino8 off8 namelen4 type4 */
const direntSize = 24
/** A record of FileTree.readDirectory: type1 version4 id8 cookie8 type1 length2, then the name. */
const recordSize = 24
const at = { id: 5, cookie: 13, type: 21, nameLength: 22 } as const
/** What one request takes from the directory, at most; with entries each of these costs a lookup. */
const maxRecords = 65_536

const records = Buffer.allocUnsafeSlow(maxRecords)

/** Replies with as many whole entries of the directory as fit. */
export function replyDirectory(
  session: Session,
  file: OpenFile,
  cookie: bigint,
  size: number,
  withEntries: boolean,
  reply: Reply,
): number {
  session.validity(file.node) // watched first: the kernel keeps the list
  // Their names take the more room there, the shorter they are.
  const wanted = Math.max(Math.floor(withEntries ? size / 4 : size), recordSize + 256)
  const length = session.tree.readDirectory(file, cookie, records, 0, Math.min(wanted, maxRecords))
  if (length < 0) return length
  const to = reply.body(size)
  const start = to.at
  for (let record = 0; record < length; ) {
    const nameEnd = record + recordSize + records.readUInt16LE(record + at.nameLength)
    const padded = (direntSize + nameEnd - record - recordSize + 7) & ~7
    if (to.at - start + padded + (withEntries ? entrySize : 0) > size) break
    if (withEntries) putChild(session, file.node, record, nameEnd, to)
    putDirent(record, nameEnd, padded, to)
    record = nameEnd
  }
  if (length > 0 && to.at === start) return failure.EINVAL
  return reply.end(to.at - start)
}

function putDirent(record: number, nameEnd: number, padded: number, to: Writer): void {
  const next = to.at + padded
  to.u64(records.readBigUInt64LE(record + at.id))
  to.u64(records.readBigUInt64LE(record + at.cookie))
  to.u32(nameEnd - record - recordSize)
  to.u32(records[record + at.type]!)
  records.copy(to.bytes, to.at, record + recordSize, nameEnd)
  to.bytes.fill(0, to.at + nameEnd - record - recordSize, next)
  to.at = next
}

/** Without a node number the kernel takes the name alone: for `.` and `..`, and what has gone meanwhile. */
function putChild(session: Session, directory: TreeNode, record: number, nameEnd: number, to: Writer): void {
  const start = to.at
  const name = records.toString('latin1', record + recordSize, nameEnd)
  if (name !== '.' && name !== '..') {
    const node = session.tree.lookup(directory, name)
    if (typeof node !== 'number' && putEntry(session, directory, name, node, to) === 0) return
  }
  to.bytes.fill(0, start, start + entrySize)
  to.at = start + entrySize
}
