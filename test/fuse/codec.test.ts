import t from 'tap'
import { decodeRequest, encodeRequest, printReply, printRequest, requestName } from '../../src/fuse/codec.js'
import { type Request, type RequestName, type RequestType, requests } from '../../src/fuse/messages.js'
import { requestHeaderSize } from '../../src/fuse/protocol.js'
import { MalformedMessage, Reader } from '../../src/wire/fields.js'
import { Random } from '../fixtures/random.js'

const random = new Random(20_002)

const samples: Record<string, () => unknown> = {
  u32: () => random.bytes(4).readUInt32LE(),
  u64: () => random.u64(),
  i64: () => BigInt.asIntN(64, random.u64()),
  name: () => random.bytes(random.below(300)).toString('latin1').replaceAll('\0', ''),
  bytes: () => random.bytes(random.below(3000)),
}

function sample(name: RequestName): Request<RequestName> {
  const { fields }: RequestType = requests[name]
  return Object.fromEntries(
    Object.entries(fields).map(([key, { kind }]) => [key, samples[kind]!()]),
  ) as Request<RequestName>
}

function decode(name: RequestName, bytes: Buffer, end = bytes.length): Request<RequestName> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return decodeRequest(name, new Reader().reset(bytes, view, requestHeaderSize, end))
}

for (const name of Object.keys(requests) as RequestName[]) {
  t.test(`${name} survives encoding, and no shorter or longer form of it is taken`, async t => {
    for (let i = 0; i < 50; i++) {
      const value = sample(name)
      const bytes = encodeRequest(name, { nodeid: i, unique: 7n }, value)
      t.equal(bytes.readUInt32LE(0), bytes.length)
      t.equal(requestName(bytes.readUInt32LE(4)), name)
      t.equal(bytes.readBigUInt64LE(16), BigInt(i))
      t.same(decode(name, bytes), value)
      t.match(printRequest(name, { nodeid: i, unique: 7n }, value), new RegExp(`^${name} 7 node=${i}`))
      const hasRest = Object.values(requests[name].fields).some(({ kind }) => kind === 'bytes')
      if (hasRest) continue
      const cut = requestHeaderSize + random.below(bytes.length - requestHeaderSize + 1)
      if (cut < bytes.length) t.throws(() => decode(name, bytes, cut), MalformedMessage)
      t.throws(() => decode(name, Buffer.concat([bytes, Buffer.alloc(1)])), MalformedMessage)
    }
  })
}

t.test('opcodes that are not served, and replies in a line', async t => {
  for (const opcode of [0, 39, 43, 4096, 0xffffffff]) t.equal(requestName(opcode), undefined)
  const reply = Buffer.alloc(24)
  reply.writeInt32LE(-2, 4)
  reply.writeBigUInt64LE(9n, 8)
  t.equal(printReply(reply), '9 ENOENT')
  reply.writeInt32LE(0, 4)
  t.equal(printReply(reply), '9 24 bytes')
})
