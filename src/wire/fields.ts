// Messages made of fields: how values are taken from bytes and put there, integers little-endian. Tables of fields say
// what the messages of a protocol are; their codecs are made from these.

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

  u8(): number {
    return this.view.getUint8(this.take(1))
  }

  u16(): number {
    return this.view.getUint16(this.take(2), true)
  }

  u32(): number {
    return this.view.getUint32(this.take(4), true)
  }

  u64(): bigint {
    return this.view.getBigUint64(this.take(8), true)
  }
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

export const u8: Field<number> = {
  kind: 'u8',
  read: from => from.u8(),
  write: (to, value) => to.u8(value),
  size: () => 1,
  print: decimal,
}

export const u16: Field<number> = {
  kind: 'u16',
  read: from => from.u16(),
  write: (to, value) => to.u16(value),
  size: () => 2,
  print: decimal,
}

export const u32: Field<number> = {
  kind: 'u32',
  read: from => from.u32(),
  write: (to, value) => to.u32(value),
  size: () => 4,
  print: decimal,
}

export const u64: Field<bigint> = {
  kind: 'u64',
  read: from => from.u64(),
  write: (to, value) => to.u64(value),
  size: () => 8,
  print: decimal,
}

/** The fields of one message, in the order of the wire. */
export type Fields = Readonly<Record<string, Field<unknown>>>

export interface FieldsCodec {
  decode(from: Reader): Record<string, unknown>
  /** Bytes on the wire. */
  size(value: Record<string, unknown>): number
  encode(to: Writer, value: Record<string, unknown>): void
}

/**
 * The functions for one message, as they would be written by hand: with a loop over the fields, decoding took longer
 * than most requests themselves.
 */
export function compileFields(fields: Fields): FieldsCodec {
  const names = Object.keys(fields)
  const make = (parameters: string, body: string) =>
    new Function('fields', `return (${parameters}) => ${body}`)(fields)
  const list = (each: (name: string) => string, separator: string) => names.map(each).join(separator)
  return {
    decode: make('from', `({ ${list(name => `${name}: fields.${name}.read(from)`, ', ')} })`),
    size: make('value', names.length === 0 ? '0' : list(name => `fields.${name}.size(value.${name})`, ' + ')),
    encode: make('to, value', `{ ${list(name => `fields.${name}.write(to, value.${name})`, '; ')} }`),
  }
}
