// Requests from bytes and to text, from the table in messages.ts.

import { errnoName } from '../linux/errno.js'
import {
  compileFields,
  type Field,
  type FieldsCodec,
  MalformedMessage,
  type Reader,
  Writer,
} from '../wire/fields.js'
import { type Request, type RequestName, type RequestType, requests } from './messages.js'
import { notifyCode, requestHeaderSize } from './protocol.js'
import type { Header } from './session.js'

interface Codec extends FieldsCodec {
  readonly name: RequestName
  readonly fields: readonly (readonly [name: string, field: Field<unknown>])[]
}

const byName = new Map<RequestName, Codec>()
const byOpcode = new Map<number, Codec>()
for (const [name, { opcode, fields }] of Object.entries(requests) as [RequestName, RequestType][]) {
  const codec = { name, fields: Object.entries(fields), ...compileFields(fields) }
  byName.set(name, codec)
  byOpcode.set(opcode, codec)
}

/** The name of an opcode, undefined for one that is not served. */
export function requestName(opcode: number): RequestName | undefined {
  return byOpcode.get(opcode)?.name
}

/** The fields of a request. Throws MalformedMessage when there are too few or too many bytes. */
export function decodeRequest<N extends RequestName>(name: N, from: Reader): Request<N> {
  const value = byName.get(name)!.decode(from)
  if (from.at !== from.end) throw new MalformedMessage('bytes left over')
  return value as Request<N>
}

/** A whole request, as a kernel makes it. */
export function encodeRequest<N extends RequestName>(name: N, header: Header, value: Request<N>): Buffer {
  const codec = byName.get(name)!
  const size = requestHeaderSize + codec.size(value)
  const to = new Writer(Buffer.alloc(size))
  to.u32(size)
  to.u32(requests[name].opcode)
  to.u64(header.unique)
  to.u64(BigInt(header.nodeid))
  to.skip(16) // uid, gid, pid, extensions
  codec.encode(to, value)
  return to.bytes
}

/** One line: name, unique, node and fields. */
export function printRequest<N extends RequestName>(name: N, header: Header, value: Request<N>): string {
  const values = value as Record<string, unknown>
  const fields = byName
    .get(name)!
    .fields.filter(([key]) => !key.startsWith('_'))
    .map(([key, field]) => ` ${key}=${field.print(values[key])}`)
  return `${name} ${header.unique} node=${header.nodeid}${fields.join('')}`
}

/** A reply or a notification in one line. */
export function printReply(message: Buffer): string {
  const error = message.readInt32LE(4)
  const unique = message.readBigUInt64LE(8)
  if (unique === 0n && error > 0) {
    const code = Object.entries(notifyCode).find(([, value]) => value === error)?.[0] ?? error
    return `${code} node=${message.readBigUInt64LE(16)}`
  }
  return `${unique} ${error < 0 ? errnoName(-error) : `${message.length} bytes`}`
}
