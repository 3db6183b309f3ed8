// Messages to bytes, back, and to text, all from the table in messages.ts.

import { type Message, type MessageName, type MessageType, messages } from './messages.js'
import { type Field, MalformedMessage, type Reader, Writer } from './wire.js'

/** size4 type1 tag2 */
export const headerSize = 7

interface Codec {
  readonly name: MessageName
  readonly fields: readonly (readonly [name: string, field: Field<unknown>])[]
}

const byName = new Map<MessageName, Codec & { type: number }>()
const byType: (Codec | undefined)[] = new Array(256).fill(undefined)
for (const [name, { type, fields }] of Object.entries(messages) as [MessageName, MessageType][]) {
  const codec = { name, type, fields: Object.entries(fields) }
  byName.set(name, codec)
  byType[type] = codec
}

/** The name of a message type, undefined for one that 9P2000.L does not have. */
export function messageName(type: number): MessageName | undefined {
  return byType[type]?.name
}

/** The fields of a message of that type. Throws MalformedMessage when there are too few or too many bytes. */
export function decodeBody<N extends MessageName>(name: N, from: Reader): Message<N> {
  const value: Record<string, unknown> = {}
  for (const [key, field] of byName.get(name)!.fields) value[key] = field.read(from)
  if (from.at !== from.end) throw new MalformedMessage('bytes left over')
  return value as Message<N>
}

/** Bytes of the message without its header. */
export function bodySize<N extends MessageName>(name: N, value: Message<N>): number {
  const values = value as Record<string, unknown>
  let size = 0
  for (const [key, field] of byName.get(name)!.fields) size += field.size(values[key])
  return size
}

export function encodeBody<N extends MessageName>(name: N, value: Message<N>, to: Writer): void {
  const values = value as Record<string, unknown>
  for (const [key, field] of byName.get(name)!.fields) field.write(to, values[key])
}

/** Writes the header of a message of `size` bytes, header included. */
export function putHeader(bytes: Buffer, at: number, size: number, type: number, tag: number): void {
  bytes.writeUInt32LE(size, at)
  bytes[at + 4] = type
  bytes.writeUInt16LE(tag, at + 5)
}

/** A whole message. */
export function encode<N extends MessageName>(name: N, tag: number, value: Message<N>): Buffer {
  const size = headerSize + bodySize(name, value)
  const bytes = Buffer.alloc(size)
  putHeader(bytes, 0, size, messages[name].type, tag)
  encodeBody(name, value, new Writer(bytes, headerSize))
  return bytes
}

/** One line: name, tag and fields. */
export function print<N extends MessageName>(name: N, tag: number, value: Message<N>): string {
  const values = value as Record<string, unknown>
  const fields = byName.get(name)!.fields.map(([key, field]) => ` ${key}=${field.print(values[key])}`)
  return `${name} tag=${tag}${fields.join('')}`
}
