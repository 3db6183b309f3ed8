// Data types that FUSE has and 9P has not: names that end with a NUL, and what is left of a message.

import type { ByteString } from '../fs/tree.js'
import { type Field, MalformedMessage, type Reader, u64, type Writer } from '../wire/fields.js'

/** A string of bytes, ended by a NUL. */
export const name: Field<ByteString> = {
  kind: 'name',
  read: (from: Reader) => {
    const end = from.bytes.indexOf(0, from.at)
    if (end < 0 || end >= from.end) throw new MalformedMessage('name without an end')
    const value = from.bytes.toString('latin1', from.at, end)
    from.at = end + 1
    return value
  },
  write: (to: Writer, value) => {
    to.bytes.write(value, to.skip(value.length), 'latin1')
    to.u8(0)
  },
  size: value => value.length + 1,
  print: value => JSON.stringify(value),
}

/** All that is left. */
export const bytes: Field<Buffer> = {
  kind: 'bytes',
  read: from => {
    const length = from.end - from.at
    const at = from.take(length)
    return from.bytes.subarray(at, at + length)
  },
  write: (to, value) => {
    to.bytes.set(value, to.skip(value.length))
  },
  size: value => value.length,
  print: value => `[${value.length} bytes]`,
}

export const i64: Field<bigint> = {
  ...u64,
  kind: 'i64',
  read: from => BigInt.asIntN(64, from.u64()),
  write: (to, value) => to.u64(BigInt.asUintN(64, value)),
}
