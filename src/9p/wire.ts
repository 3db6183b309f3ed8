// The data types of 9P2000.L: how each is read, written, measured and shown. Integers are little-endian; `s` is a
// length2 and that many bytes. Used by messages.ts, which says what messages are made of.

import type { ByteString } from '../fs/tree.js'

/** A message that is shorter or longer than its type says, or holds what can not be. */
export class MalformedMessage extends Error {
  override readonly name = 'MalformedMessage'
}

/** Takes values from the bytes of one message, and never from beyond them. */
export class Reader {
  at = 0
  end = 0
  bytes: Buffer = Buffer.alloc(0)
  view: DataView = new DataView(new ArrayBuffer(0))

  /** Goes to bytes [start, end); `view` must be of the same memory. */
  reset(bytes: Buffer, view: DataView, start: number, end: number): this {
    this.bytes = bytes
    this.view = view
    this.at = start
    this.end = end
    return this
  }

  /** Where the next `length` bytes begin. */
  take(length: number): number {
    const from = this.at
    if (length > this.end - from) throw new MalformedMessage('message too short')
    this.at = from + length
    return from
  }

  u8 = (): number => this.view.getUint8(this.take(1))
  u16 = (): number => this.view.getUint16(this.take(2), true)
  u32 = (): number => this.view.getUint32(this.take(4), true)
  u64 = (): bigint => this.view.getBigUint64(this.take(8), true)
}

/** Puts values one after the other; whoever makes one has made room. */
export class Writer {
  readonly view: DataView

  constructor(
    readonly bytes: Buffer,
    public at = 0,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  /** Where the next `length` bytes go. */
  skip(length: number): number {
    const from = this.at
    this.at = from + length
    return from
  }

  u8(value: number): void {
    this.view.setUint8(this.skip(1), value)
  }

  u16(value: number): void {
    this.view.setUint16(this.skip(2), value, true)
  }

  u32(value: number): void {
    this.view.setUint32(this.skip(4), value, true)
  }

  u64(value: bigint): void {
    this.view.setBigUint64(this.skip(8), value, true)
  }
}

/** One data type. */
export interface Field<T> {
  /** What tests make values by. */
  readonly kind: string
  read(from: Reader): T
  write(to: Writer, value: T): void
  /** Bytes on the wire. */
  size(value: T): number
  print(value: T): string
}

const decimal = (value: number | bigint): string => String(value)
const hexadecimal = (value: number | bigint): string => `0x${value.toString(16)}`
const octal = (value: number | bigint): string => `0${value.toString(8)}`

function integer(kind: 'u8' | 'u16' | 'u32', bytes: number, print: (value: number) => string): Field<number> {
  return {
    kind,
    read: from => from[kind](),
    write: (to, value) => to[kind](value),
    size: () => bytes,
    print,
  }
}

function integer64(print: (value: bigint) => string): Field<bigint> {
  return {
    kind: 'u64',
    read: from => from.u64(),
    write: (to, value) => to.u64(value),
    size: () => 8,
    print,
  }
}

export const u8 = integer('u8', 1, decimal)
export const u16 = integer('u16', 2, decimal)
export const u32 = integer('u32', 4, decimal)
export const u64 = integer64(decimal)
/** u32 and u64 that are sets of bits. */
export const bits32 = integer('u32', 4, hexadecimal)
export const bits64 = integer64(hexadecimal)
/** A u32 of permission bits. */
export const mode = integer('u32', 4, octal)

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
