// Messages to bytes, back, and to text, all from the table in messages.ts.

import { compileFields, type Field, MalformedMessage, type Reader, Writer } from '../wire/fields.js'
import { type Message, type MessageName, type MessageType, messages } from './messages.js'

/** size4 type1 tag2 */
export const headerSize = 7

interface Codec<N extends MessageName = MessageName> {
  readonly name: N
  readonly type: number
  readonly fields: readonly (readonly [name: string, field: Field<unknown>])[]
  readonly decode: (from: Reader) => Message<N>
  readonly size: (value: Message<N>) => number
  readonly encode: (to: Writer, value: Message<N>) => void
}

const byName = new Map<MessageName, Codec>()
const byType: (Codec | undefined)[] = new Array(256).fill(undefined)
for (const [name, { type, fields }] of Object.entries(messages) as [MessageName, MessageType][]) {
  const codec: Codec = { name, type, fields: Object.entries(fields), ...compileFields(fields) }
  byName.set(name, codec)
  byType[type] = codec
}

/** The name of a message type, undefined for one that 9P2000.L does not have. */
export function messageName(type: number): MessageName | undefined {
  return byType[type]?.name
}

/** The fields of a message of that type. Throws MalformedMessage when there are too few or too many bytes. */
export function decodeBody<N extends MessageName>(name: N, from: Reader): Message<N> {
  const value = codecOf(name).decode(from)
  if (from.at !== from.end) throw new MalformedMessage('bytes left over')
  return value
}

/** Bytes of the message without its header. */
export function bodySize<N extends MessageName>(name: N, value: Message<N>): number {
  return codecOf(name).size(value)
}

export function encodeBody<N extends MessageName>(name: N, value: Message<N>, to: Writer): void {
  codecOf(name).encode(to, value)
}

function codecOf<N extends MessageName>(name: N): Codec<N> {
  return byName.get(name) as unknown as Codec<N>
}

/** Writes the header of a message of `size` bytes, header included. */
export function putHeader(view: DataView, at: number, size: number, type: number, tag: number): void {
  view.setUint32(at, size, true)
  view.setUint8(at + 4, type)
  view.setUint16(at + 5, tag, true)
}

/** A whole message. */
export function encode<N extends MessageName>(name: N, tag: number, value: Message<N>): Buffer {
  const size = headerSize + bodySize(name, value)
  const to = new Writer(Buffer.alloc(size), headerSize)
  putHeader(to.view, 0, size, messages[name].type, tag)
  encodeBody(name, value, to)
  return to.bytes
}

/** One line: name, tag and fields. */
export function print<N extends MessageName>(name: N, tag: number, value: Message<N>): string {
  const values = value as Record<string, unknown>
  const fields = byName.get(name)!.fields.map(([key, field]) => ` ${key}=${field.print(values[key])}`)
  return `${name} tag=${tag}${fields.join('')}`
}
