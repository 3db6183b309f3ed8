// What the kernel is told without having asked.

import type { ByteString } from '../fs/tree.js'
import { Writer } from '../wire/fields.js'
import { expireOnly, notifyCode, replyHeaderSize } from './protocol.js'
import { putReplyHeader } from './session.js'

/** struct fuse_notify_inval_inode_out; the attributes, and all of the contents unless these still hold. */
export function inodeMessage(id: number, contents: boolean): Buffer {
  const to = message(notifyCode.invalInode, 24)
  to.u64(BigInt(id))
  to.u64(contents ? 0n : BigInt.asUintN(64, -1n))
  to.u64(0n)
  return to.bytes
}

/**
 * struct fuse_notify_inval_entry_out and the name, which is dropped, or, with `expire`, asked about again when it is used
 * next. A kernel that does not know the latter drops it.
 */
export function entryMessage(directory: number, name: ByteString, expire: boolean): Buffer {
  const to = message(notifyCode.invalEntry, 16 + name.length + 1)
  to.u64(BigInt(directory))
  to.u32(name.length)
  to.u32(expire ? expireOnly : 0)
  to.bytes.write(name, to.skip(name.length), 'latin1')
  to.u8(0)
  return to.bytes
}

/** Notifications look like replies without a request, with their code for an error. */
function message(code: number, size: number): Writer {
  const to = new Writer(Buffer.alloc(replyHeaderSize + size))
  putReplyHeader(to, replyHeaderSize + size, code, 0n)
  return to
}
