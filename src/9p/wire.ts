// The data types of 9P2000.L besides integers: how each is read, written, measured and shown; `s` is a length2 and
// that many bytes. Used by messages.ts, which says what messages are made of.

import type { ByteString } from '../fs/tree.js'
import { type Field, MalformedMessage, u32, u64 } from '../wire/fields.js'

const hexadecimal = (value: number | bigint): string => `0x${value.toString(16)}`
const octal = (value: number | bigint): string => `0${value.toString(8)}`

/** u32 and u64 that are sets of bits. */
export const bits32: Field<number> = { ...u32, print: hexadecimal }
export const bits64: Field<bigint> = { ...u64, print: hexadecimal }
/** A u32 of permission bits. */
export const mode: Field<number> = { ...u32, print: octal }

/** `s`: bytes, as a string with one character for each. */
export const text: Field<ByteString> = {
  kind: 'text',
  read: from => {
    const length = from.u16()
    const start = from.take(length)
    return from.bytes.toString('latin1', start, start + length)
  },
  write: (to, value) => {
    to.u16(value.length)
    to.bytes.write(value, to.skip(value.length), 'latin1')
  },
  size: value => 2 + value.length,
  print: value => JSON.stringify(value),
}

/** count4 and that many bytes: a view of the message, good for as long as the message is. */
export const data: Field<Uint8Array> = {
  kind: 'data',
  read: from => {
    const length = from.u32()
    const start = from.take(length)
    return from.bytes.subarray(start, start + length)
  },
  write: (to, value) => {
    to.u32(value.length)
    to.bytes.set(value, to.skip(value.length))
  },
  size: value => 4 + value.length,
  print: value => `[${value.length} bytes]`,
}

/** What a client tells files apart by: type1 version4 path8. */
export interface Qid {
  /** 0x80 directory, 0x02 symbolic link, 0 else. */
  readonly type: number
  readonly version: number
  readonly path: bigint
}

export const qidSize = 13

export const qid: Field<Qid> = {
  kind: 'qid',
  read: from => ({ type: from.u8(), version: from.u32(), path: from.u64() }),
  write: (to, value) => {
    to.u8(value.type)
    to.u32(value.version)
    to.u64(value.path)
  },
  size: () => qidSize,
  print: value => `(${value.type.toString(16)} ${value.version} ${value.path})`,
}

/** count2 and that many elements, 16 at most (P9_MAXWELEM). */
function list<T>(kind: string, element: Field<T>): Field<readonly T[]> {
  return {
    kind,
    read: from => {
      const count = from.u16()
      if (count > 16) throw new MalformedMessage('more than 16 elements')
      const values: T[] = []
      for (let i = 0; i < count; i++) values.push(element.read(from))
      return values
    },
    write: (to, values) => {
      to.u16(values.length)
      for (const value of values) element.write(to, value)
    },
    size: values => values.reduce((sum, value) => sum + element.size(value), 2),
    print: values => `[${values.map(element.print).join(' ')}]`,
  }
}

export const names = list('names', text)
export const qids = list('qids', qid)
