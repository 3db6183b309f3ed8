// Requests about contents: open, create, read, write, sync, locks, directories.

import { type Failure, failure } from '../fs/failure.js'
import type { LockRegion, LockType, OpenFile, TreeNode } from '../fs/tree.js'
import { Writer } from '../wire/fields.js'
import { replyDirectory } from './directory.js'
import { entrySize, putEntry } from './entry.js'
import type { Purpose } from './handle-table.js'
import { isMadeUp, readWhole } from './made-up-files.js'
import type { Request } from './messages.js'
import { dropPrivileges } from './name-handlers.js'
import {
  fsyncDataOnly,
  lockIsFlock,
  lockToEnd,
  lockType,
  O_APPEND,
  openReply,
  portableOpenFlags,
  releaseUnlocksFlock,
  replyHeaderSize,
  writeFromCache,
  writeKillSuidgid,
} from './protocol.js'
import {
  deferredMessage,
  type Handlers,
  type Header,
  noReply,
  type Outcome,
  type Reply,
  type Session,
} from './session.js'

/** struct fuse_open_out */
const openSize = 16
/** struct fuse_write_out */
const writeSize = 8
/** struct fuse_lk_out */
const lockSize = 24
const maxWaitingLocks = 1024

export const fileHandlers: Handlers<
  | 'OPEN'
  | 'OPENDIR'
  | 'CREATE'
  | 'READ'
  | 'WRITE'
  | 'FLUSH'
  | 'RELEASE'
  | 'RELEASEDIR'
  | 'FSYNC'
  | 'FSYNCDIR'
  | 'READDIR'
  | 'READDIRPLUS'
  | 'GETLK'
  | 'SETLK'
  | 'SETLKW'
  | 'INTERRUPT'
> = {
  OPEN: (session, { flags }, header, reply) => open(session, flags, header, reply, openReply.keepCache),

  OPENDIR: (session, { flags }, header, reply) =>
    open(session, flags, header, reply, openReply.keepCache | openReply.cacheDir),

  CREATE(session, { name, flags, mode }, { nodeid }, reply) {
    const { tree, nodes, handles } = session
    const directory = nodes.get(nodeid)
    if (directory === undefined) return failure.ESTALE
    if (!handles.hasRoom) return failure.ENFILE
    session.validity(directory)
    const file = tree.create(directory, name, portableOpenFlags(flags), mode & 0o7777)
    if (typeof file === 'number') return file
    const to = reply.body(entrySize + openSize)
    tree.retain(file.node)
    const result = putEntry(session, directory, name, file.node, to)
    if (result < 0) {
      tree.close(file)
      return result
    }
    putOpened(session, file, flags, openReply.keepCache, to)
    return reply.end(entrySize + openSize)
  },

  READ(session, { fh, offset, size }, { nodeid }, reply) {
    const file = find(session, nodeid, fh, 'read')
    if (typeof file === 'number') return file
    const count = Math.min(size, session.maxWrite)
    if (fh === 0n && isMadeUp(file.node)) {
      const content = session.madeUp.contentOf(nodeid, offset, count)
      if (content === undefined) return { result: readMadeUp(session, file, count, offset) }
      const to = reply.body(content.length)
      to.bytes.set(content, to.at)
      return reply.end(content.length)
    }
    const to = reply.body(count)
    const length = session.tree.read(file, to.bytes, to.at, count, offset)
    if (length >= 0) return reply.end(length)
    return length === failure.EAGAIN ? { result: readWaiting(session, file, count, offset) } : length
  },

  WRITE(session, request, { nodeid }, reply) {
    const { writeFlags, offset, data, size } = request
    if (size !== data.length) return failure.EINVAL
    // What the kernel writes from its cache has its place, whatever the file it came by was opened for.
    const isCached = (writeFlags & writeFromCache) !== 0
    const purpose = !isCached && request.flags & O_APPEND ? 'append' : 'write'
    const file = find(session, nodeid, isCached ? 0n : request.fh, purpose)
    if (typeof file === 'number') return file
    const wasWritten = (count: number, to: Writer) => {
      session.madeUp.wasWritten(nodeid)
      if (writeFlags & writeKillSuidgid) dropPrivileges(session, file.node)
      to.u32(count)
      to.u32(0)
    }
    const count = session.tree.write(file, data, 0, size, offset)
    if (count === failure.EAGAIN) return { result: writeWaiting(session, file, data, offset, wasWritten) }
    if (count < 0) return count
    wasWritten(count, reply.body(writeSize))
    return reply.end(writeSize)
  },

  /** Each close of a file; wanted only where locks are ours. */
  FLUSH(session, { fh, lockOwner }, { nodeid }, reply) {
    if (session.policy !== 'strict') return failure.ENOSYS
    const file = find(session, nodeid, fh, 'read')
    if (typeof file !== 'number') unlock(session, file, lockOwner, false)
    return reply.empty()
  },

  RELEASE(session, { fh, releaseFlags, lockOwner }, _header, reply) {
    const file = session.handles.get(fh)
    if (file !== undefined && releaseFlags & releaseUnlocksFlock) unlock(session, file, lockOwner, true)
    session.handles.close(fh)
    return reply.empty()
  },

  RELEASEDIR(session, { fh }, _header, reply) {
    session.handles.close(fh)
    return reply.empty()
  },

  FSYNC: (session, { fh, fsyncFlags }, { nodeid }) => sync(session, nodeid, fh, fsyncFlags),
  FSYNCDIR: (session, { fh, fsyncFlags }, { nodeid }) => sync(session, nodeid, fh, fsyncFlags),

  READDIR: (session, request, header, reply) => readDirectory(session, request, header, reply, false),
  READDIRPLUS: (session, request, header, reply) => readDirectory(session, request, header, reply, true),

  GETLK(session, request, { nodeid }, reply) {
    const file = find(session, nodeid, request.fh, 'read')
    const region = regionOf(request)
    if (typeof file === 'number') return file
    if (region === undefined) return failure.EINVAL
    const holder = session.tree.testLock(file, ownerOf(session, request), region)
    if (typeof holder === 'number') return holder
    const to = reply.body(lockSize)
    to.u64(holder?.start ?? request.start)
    to.u64(holder === undefined ? request.end : lastOf(holder))
    to.u32(holder === undefined ? lockType.unlock : lockType[holder.type])
    to.u32(holder?.pid ?? 0)
    return reply.end(lockSize)
  },

  SETLK: (session, request, header, reply) => lock(session, request, header, reply, false),
  SETLKW: (session, request, header, reply) => lock(session, request, header, reply, true),

  INTERRUPT(session, { unique }) {
    session.interrupt(unique)
    return noReply
  },
}

/** Where the kernel need not ask before it reads and writes, it is told so, once. */
function open(
  session: Session,
  flags: number,
  { nodeid }: Header,
  reply: Reply,
  cacheFlags: number,
): Outcome {
  if (session.opensImplicitly) return failure.ENOSYS
  const node = session.nodes.get(nodeid)
  if (node === undefined) return failure.ESTALE
  if (!session.handles.hasRoom) return failure.ENFILE
  const file = session.tree.open(node, portableOpenFlags(flags))
  if (typeof file === 'number') return file
  putOpened(session, file, flags, cacheFlags, reply.body(openSize))
  return reply.end(openSize)
}

/**
 * struct fuse_open_out. A kernel that opens files without asking may never say that it has closed one (before Linux 6.9):
 * it gets no handle.
 */
function putOpened(session: Session, file: OpenFile, flags: number, cacheFlags: number, to: Writer): void {
  const { handles, opensImplicitly } = session
  if (opensImplicitly) handles.adopt(file, flags)
  to.u64(BigInt(opensImplicitly ? 0 : handles.add(file)))
  to.u32(isMadeUp(file.node) ? openReply.directIo : session.policy === 'strict' ? 0 : cacheFlags)
  to.u32(0)
}

function find(session: Session, nodeid: number, fh: bigint, purpose: Purpose): OpenFile | Failure {
  const node: TreeNode | undefined = session.nodes.get(nodeid)
  return node === undefined ? failure.ESTALE : session.handles.find(fh, node, purpose)
}

async function readWaiting(session: Session, file: OpenFile, count: number, offset: bigint) {
  const message = deferredMessage(count)
  const length = await session.tree.readWaiting(file, message, replyHeaderSize, count, offset)
  if (length < 0) return length
  const size = replyHeaderSize + length
  // A short answer must not keep the memory of a long one until it is sent.
  return size < message.length / 2 ? Buffer.from(message.subarray(0, size)) : message.subarray(0, size)
}

/** Of a file that the kernel caches although it is made up: to it, less than was asked for is the end. */
async function readMadeUp(session: Session, file: OpenFile, count: number, offset: bigint) {
  const bytes = await readWhole(session.tree, file, offset, count)
  if (typeof bytes === 'number') return bytes
  const message = deferredMessage(bytes.length)
  bytes.copy(message, replyHeaderSize)
  return message
}

async function writeWaiting(
  session: Session,
  file: OpenFile,
  data: Buffer,
  offset: bigint,
  wasWritten: (count: number, to: Writer) => void,
) {
  const copy = Buffer.from(data) // the message's memory may be used again by then
  const count = await session.tree.writeWaiting(file, copy, 0, copy.length, offset)
  if (count < 0) return count
  const message = deferredMessage(writeSize)
  const to = new Writer(message)
  to.skip(replyHeaderSize)
  wasWritten(count, to)
  return message
}

function sync(session: Session, nodeid: number, fh: bigint, flags: number): Outcome {
  let file = find(session, nodeid, fh, 'read')
  if (file === failure.EACCES) file = find(session, nodeid, fh, 'write')
  if (typeof file === 'number') return file
  const done = session.tree.sync(file, (flags & fsyncDataOnly) !== 0)
  return { result: done.then(result => (result < 0 ? result : deferredMessage(0))) }
}

function readDirectory(
  session: Session,
  { fh, offset, size }: Request<'READDIR'>,
  { nodeid }: Header,
  reply: Reply,
  withEntries: boolean,
): Outcome {
  const file = find(session, nodeid, fh, 'read')
  if (typeof file === 'number') return file
  return replyDirectory(session, file, offset, Math.min(size, session.maxWrite), withEntries, reply)
}

function lock(
  session: Session,
  request: Request<'SETLK'>,
  { nodeid }: Header,
  reply: Reply,
  mayWait: boolean,
): Outcome {
  const file = find(session, nodeid, request.fh, 'read')
  const region = regionOf(request)
  if (typeof file === 'number') return file
  if (region === undefined) return failure.EINVAL
  const owner = ownerOf(session, request)
  const result = session.tree.lock(file, owner, region)
  if (result === 0) return reply.empty()
  if (result !== failure.EAGAIN || !mayWait || session.waitingLocks >= maxWaitingLocks) return result
  const pending = session.tree.lockWaiting(file, owner, region)
  session.waitingLocks++
  const answer = pending.result.then(last => {
    session.waitingLocks--
    return last < 0 ? last : deferredMessage(0)
  })
  return { result: answer, cancel: () => pending.cancel() }
}

function unlock(session: Session, file: OpenFile, owner: bigint, isFlock: boolean): void {
  const region: LockRegion = { type: 'unlock', start: 0n, length: 0n }
  session.tree.lock(file, ownerName(session, owner, isFlock), region)
}

function ownerOf(session: Session, { owner, flags }: Request<'SETLK'>): string {
  return ownerName(session, owner, (flags & lockIsFlock) !== 0)
}

/** flock(2) and fcntl(2) know nothing of each other, with the same owner. */
function ownerName(session: Session, owner: bigint, isFlock: boolean): string {
  return `${session.number} ${isFlock ? 'flock' : 'posix'} ${owner}`
}

function regionOf({ type, start, end }: Request<'SETLK'>): LockRegion | undefined {
  const name = (Object.keys(lockType) as LockType[]).find(name => lockType[name] === type)
  if (name === undefined || end < start) return undefined
  return { type: name, start, length: end >= lockToEnd ? 0n : end - start + 1n }
}

function lastOf({ start, length }: LockRegion): bigint {
  return length === 0n ? lockToEnd : start + length - 1n
}
