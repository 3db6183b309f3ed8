import t from 'tap'
import { encode } from '../../src/9p/codec.js'
import { FrameSplitter, FramingError } from '../../src/wire/framing.js'
import { Random } from '../fixtures/random.js'

function sizedMessage(size: number): Buffer {
  return encode('Twrite', 1, { fid: 1, offset: 0n, data: Buffer.alloc(size - 23, size & 255) })
}

t.test('messages come out whole however the stream is cut', async t => {
  const random = new Random(7)
  for (let round = 0; round < 200; round++) {
    const sent = Array.from({ length: 1 + random.below(8) }, () => sizedMessage(23 + random.below(500)))
    const stream = Buffer.concat(sent)
    const got: Buffer[] = []
    const frames = new FrameSplitter(1024, (bytes, view, start, end) => {
      t.equal(view.getUint32(start, true), end - start)
      got.push(Buffer.from(bytes.subarray(start, end)))
      return random.below(3) > 0
    })
    for (let at = 0; at < stream.length; ) {
      const next = Math.min(stream.length, at + 1 + random.below(round % 2 ? 5 : 900))
      const chunk = Buffer.from(stream.subarray(at, next))
      frames.push(chunk)
      chunk.fill(0xff) // whose memory is used again
      while (frames.isHeld) frames.resume()
      at = next
    }
    t.same(got, sent)
  }
})

t.test('a message whole in its chunk is not copied', async t => {
  const chunk = Buffer.concat([sizedMessage(30), sizedMessage(40)])
  const frames = new FrameSplitter(1024, bytes => {
    t.equal(bytes, chunk)
    return true
  })
  frames.push(chunk)
})

t.test('a length that can not be ends it before anything is kept', async t => {
  for (const size of [0, 6, 1025, 0xffffffff]) {
    const frames = new FrameSplitter(1024, () => t.fail('handled'), 7)
    const bytes = Buffer.alloc(7)
    bytes.writeUInt32LE(size)
    t.throws(() => frames.push(bytes), FramingError)
    const slow = new FrameSplitter(1024, () => t.fail('handled'), 7)
    t.throws(() => {
      for (const byte of bytes) slow.push(Buffer.from([byte]))
    }, FramingError)
  }
})
