// Requests about open files: lopen, lcreate, read, write, readdir, fsync, lock, getlock.

import { failure } from '../fs/failure.js'
import type { ByteString, LockOwner, LockRegion, LockType, OpenFile } from '../fs/tree.js'
import { headerSize } from './codec.js'
import type { Fid, XattrWrite } from './fids.js'
import { deferredMessage, type Handlers, type Outcome, qidOf, type Reply, type Session } from './session.js'

/** P9_LOCK_* of linux/include/net/9p/9p.h */
const lockTypes: readonly LockType[] = ['read', 'write', 'unlock']
const lockSuccess = 0
const lockBlocked = 1
const lockError = 2
const lockBlockFlag = 1
/** Above this many, a blocking lock is answered like one that does not block, and the client asks again later. */
const maxWaitingLocks = 4096
/** Longest name of a client; Linux sends its host name, of at most 64 bytes. */
const maxClientId = 255
/** count4 before the data */
const countSize = 4

export const fileHandlers: Handlers<
  'Tlopen' | 'Tlcreate' | 'Tread' | 'Twrite' | 'Treaddir' | 'Tfsync' | 'Tlock' | 'Tgetlock'
> = {
  Tlopen(session, { fid: number, flags }, reply) {
    const fid = session.fids.get(number)
    if (fid === undefined) return failure.EBADF
    if (fid.file !== undefined || fid.xattr !== undefined) return failure.EBUSY
    const file = session.tree.open(fid.node, flags)
    if (typeof file === 'number') return file
    fid.file = file
    return reply.send('Rlopen', { qid: qidOf(fid.node), iounit: 0 })
  },

  /**
   * The fid of the directory becomes that of the new file. The group asked for is not given: files belong to the
   * local user and group, as those of every local process do.
   */
  Tlcreate(session, { fid: number, name, flags, mode }, reply) {
    const fid = session.fids.get(number)
    if (fid === undefined) return failure.EBADF
    if (fid.file !== undefined || fid.xattr !== undefined) return failure.EBUSY
    const file = session.tree.create(fid.node, name, flags, mode)
    if (typeof file === 'number') return file
    session.tree.retain(file.node)
    session.tree.release(fid.node)
    fid.node = file.node
    fid.file = file
    return reply.send('Rlcreate', { qid: qidOf(fid.node), iounit: 0 })
  },

  Tread(session, { fid: number, offset, count: wanted }, reply) {
    const fid = session.fids.get(number)
    if (fid === undefined) return failure.EBADF
    const count = Math.min(wanted, session.msize - headerSize - countSize)
    if (fid.xattr !== undefined) return readXattr(fid, offset, count, reply)
    const { file } = fid
    if (file === undefined) return failure.EBADF
    const { bytes, at } = reply.body(countSize + count)
    const length = session.tree.read(file, bytes, at + countSize, count, offset)
    if (length >= 0) {
      bytes.writeUInt32LE(length, at)
      return reply.sendBody('Rread', countSize + length)
    }
    if (length !== failure.EAGAIN) return length
    return { result: readWaiting(session.tree.readWaiting.bind(session.tree), file, count, offset) }
  },

  Twrite(session, { fid: number, offset, data }, reply) {
    const fid = session.fids.get(number)
    if (fid === undefined) return failure.EBADF
    if (fid.xattr !== undefined) return writeXattr(fid, offset, data, reply)
    const { file } = fid
    if (file === undefined) return failure.EBADF
    const count = session.tree.write(file, data, 0, data.length, offset)
    if (count >= 0) return reply.send('Rwrite', { count })
    if (count !== failure.EAGAIN) return count
    const copy = Buffer.from(data) // the message's memory may be used again by then
    return {
      result: session.tree.writeWaiting(file, copy, 0, copy.length, offset).then(written => {
        if (written < 0) return written
        const message = deferredMessage(countSize)
        message.writeUInt32LE(written, headerSize)
        return message
      }),
    }
  },

  Treaddir(session, { fid: number, offset, count: wanted }, reply) {
    const file = session.fids.get(number)?.file
    if (file === undefined) return failure.EBADF
    const count = Math.min(wanted, session.msize - headerSize - countSize)
    const { bytes, at } = reply.body(countSize + count)
    const length = session.tree.readDirectory(file, offset, bytes, at + countSize, count)
    if (length < 0) return length
    bytes.writeUInt32LE(length, at)
    return reply.sendBody('Rreaddir', countSize + length)
  },

  Tfsync(session, { fid: number, datasync }) {
    const file = session.fids.get(number)?.file
    if (file === undefined) return failure.EBADF
    const done = session.tree.sync(file, datasync !== 0)
    return { result: done.then(result => (result < 0 ? result : deferredMessage(0))) }
  },

  /** A blocking request is answered when the lock is there: told to come back, the kernel would sleep 30 s. */
  Tlock(session, { fid: number, type, flags, ...request }, reply): Outcome {
    const file = session.fids.get(number)?.file
    if (file === undefined) return failure.EBADF
    const lockType = lockTypes[type]
    if (lockType === undefined || request.clientId.length > maxClientId) return failure.EINVAL
    const region: LockRegion = { type: lockType, start: request.start, length: request.length }
    const owner = lockOwner(session, request)
    const mayWait = (flags & lockBlockFlag) !== 0 && session.waitingLocks < maxWaitingLocks
    const result = session.tree.lock(file, owner, region)
    if (result !== failure.EAGAIN || !mayWait) return reply.send('Rlock', { status: lockStatus(result) })
    const pending = session.tree.lockWaiting(file, owner, region)
    session.waitingLocks++
    const status = pending.result.then(last => {
      session.waitingLocks--
      return lockMessage(last)
    })
    return { result: status, cancel: () => pending.cancel() }
  },

  /** Linux asks with type "unlock", meaning any conflict. */
  Tgetlock(session, request, reply) {
    const file = session.fids.get(request.fid)?.file
    if (file === undefined) return failure.EBADF
    const type = lockTypes[request.type]
    if (type === undefined) return failure.EINVAL
    const { start, length, clientId } = request
    const region = { type: type === 'unlock' ? 'write' : type, start, length } as const
    const holder = session.tree.testLock(file, lockOwner(session, request), region)
    if (typeof holder === 'number') return holder
    if (holder === undefined) {
      const unlocked = lockTypes.indexOf('unlock')
      return reply.send('Rgetlock', { type: unlocked, start, length, processId: request.processId, clientId })
    }
    return reply.send('Rgetlock', {
      type: lockTypes.indexOf(holder.type),
      start: holder.start,
      length: holder.length,
      processId: holder.pid,
      clientId,
    })
  },
}

/**
 * Linux sends a lock only once its own processes agree on it, with the process that asks. An open file that several
 * processes share has one fid, and each of them drops "all its locks" with its own close; so not the fid, but the
 * process is the owner, for locks of flock(2) too, which look the same.
 */
function lockOwner(session: Session, request: { processId: number; clientId: ByteString }): LockOwner {
  return `${session.number} ${request.processId} ${request.clientId}`
}

function lockStatus(result: number): number {
  return result === 0 ? lockSuccess : result === failure.EAGAIN ? lockBlocked : lockError
}

function lockMessage(result: number): Buffer {
  const message = deferredMessage(1)
  message[headerSize] = lockStatus(result)
  return message
}

type ReadWaiting = (
  file: OpenFile,
  into: Uint8Array,
  at: number,
  count: number,
  offset: bigint,
) => Promise<number>

async function readWaiting(read: ReadWaiting, file: OpenFile, count: number, offset: bigint) {
  const message = deferredMessage(countSize + count)
  const length = await read(file, message, headerSize + countSize, count, offset)
  if (length < 0) return length
  message.writeUInt32LE(length, headerSize)
  const size = headerSize + countSize + length
  // A short answer must not keep the memory of a long one until the client takes it.
  return size < message.length / 2 ? Buffer.from(message.subarray(0, size)) : message.subarray(0, size)
}

function readXattr({ xattr }: Fid, offset: bigint, count: number, reply: Reply): Outcome {
  if (xattr?.kind !== 'read') return failure.EBADF
  const start = offset < BigInt(xattr.value.length) ? Number(offset) : xattr.value.length
  return reply.send('Rread', { data: xattr.value.subarray(start, start + count) })
}

function writeXattr({ xattr }: Fid, offset: bigint, data: Uint8Array, reply: Reply): Outcome {
  if (xattr?.kind !== 'write') return failure.EBADF
  const { value }: XattrWrite = xattr
  if (offset !== BigInt(xattr.written) || data.length > value.length - xattr.written) return failure.EINVAL
  value.set(data, xattr.written)
  xattr.written += data.length
  return reply.send('Rwrite', { count: data.length })
}
