import t from 'tap'
import { bodySize, decodeBody, encode, headerSize, messageName, print } from '../../src/9p/codec.js'
import { type Message, type MessageName, type MessageType, messages } from '../../src/9p/messages.js'
import { MalformedMessage, Reader } from '../../src/wire/fields.js'
import { Random } from '../fixtures/random.js'

const random = new Random(20_001)

function sample(kind: string): unknown {
  switch (kind) {
    case 'u8':
      return random.below(0x100)
    case 'u16':
      return random.below(0x10000)
    case 'u32':
      return random.bytes(4).readUInt32LE()
    case 'u64':
      return random.u64()
    case 'text':
      return random.bytes(random.below(300)).toString('latin1')
    case 'data':
      return random.bytes(random.below(3000))
    case 'qid':
      return { type: random.below(256), version: random.below(1000), path: random.u64() }
    case 'names':
      return Array.from({ length: random.below(17) }, () => sample('text'))
    case 'qids':
      return Array.from({ length: random.below(17) }, () => sample('qid'))
    default:
      throw new Error(`no samples of ${kind}`)
  }
}

function sampleMessage(name: MessageName): Message<MessageName> {
  const { fields }: MessageType = messages[name]
  return Object.fromEntries(
    Object.entries(fields).map(([key, field]) => [key, sample(field.kind)]),
  ) as Message<MessageName>
}

function decode(name: MessageName, bytes: Buffer, end = bytes.length): Message<MessageName> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return decodeBody(name, new Reader().reset(bytes, view, headerSize, end))
}

for (const name of Object.keys(messages) as MessageName[]) {
  t.test(`${name} survives encoding, and no shorter or longer form of it is taken`, async t => {
    for (let i = 0; i < 50; i++) {
      const value = sampleMessage(name)
      const bytes = encode(name, i, value)
      t.equal(bytes.readUInt32LE(0), bytes.length)
      t.equal(bytes.length, headerSize + bodySize(name, value))
      t.equal(messageName(bytes[4]!), name)
      t.equal(bytes.readUInt16LE(5), i)
      t.same(decode(name, bytes), value)
      t.match(print(name, i, value), new RegExp(`^${name} tag=${i}`))
      const cut = headerSize + random.below(bytes.length - headerSize + 1)
      if (cut < bytes.length) t.throws(() => decode(name, bytes, cut), MalformedMessage)
      t.throws(() => decode(name, Buffer.concat([bytes, Buffer.alloc(1)])), MalformedMessage)
    }
  })
}

t.test('a request has an even type, and its reply the next one', async t => {
  for (const [name, { type }] of Object.entries(messages)) {
    if (name === 'Rlerror') continue
    t.equal(type % 2, name.startsWith('T') ? 0 : 1, name)
    if (name.startsWith('T')) t.equal(messageName(type + 1), `R${name.slice(1)}`)
  }
})

t.test('known bytes', async t => {
  t.equal(
    encode('Tversion', 0xffff, { msize: 0x2000, version: '9P2000.L' }).toString('hex'),
    '1500000064ffff002000000800395032303030 2e4c'.replace(' ', ''),
  )
  t.equal(
    encode('Twalk', 1, { fid: 2, newfid: 3, names: ['a', 'bc'] }).toString('hex'),
    '180000006e01000200000003000000020001006102006263',
  )
  t.throws(() => decode('Twalk', Buffer.from('110000006e010002000000030000001100', 'hex')), MalformedMessage)
})
