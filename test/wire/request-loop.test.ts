import { Duplex } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { RequestLoop } from '../../src/wire/request-loop.js'

/** Gives what it is fed, and takes everything at once. */
class Line extends Duplex {
  override _read(): void {}
  override _write(_chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    done()
  }
}

/** A message of 8 bytes. */
function message(): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32LE(8)
  return bytes
}

/** A server whose every answer takes longer than a turn may, and has so many bytes. */
function slowServer(replySize: number, onMessage: () => void): { line: Line; loop: RequestLoop } {
  const line = new Line()
  const loop: RequestLoop = new RequestLoop(line, {
    minSize: 8,
    maxSize: 8,
    onMessage: () => {
      onMessage()
      const end = performance.now() + 15
      while (performance.now() < end) {}
      loop.output.reserve(replySize)
      loop.output.commit(replySize)
    },
    onEnd: () => {},
  })
  line.resume()
  loop.output.setMaxSize(replySize)
  return { line, loop }
}

t.test('large answers that take long do not keep others from their turn', async t => {
  let answered = 0
  const { line, loop } = slowServer(100_000, () => answered++)
  line.push(Buffer.concat(Array.from({ length: 12 }, message)))
  const before: number[] = []
  while (answered < 12) {
    await turn()
    before.push(answered)
  }
  t.ok(before.length > 6, `others had their turn after ${before}`)
  loop.end('test')
})

t.test('so do many small ones', async t => {
  let answered = 0
  const { line, loop } = slowServer(8, () => answered++)
  line.push(Buffer.concat(Array.from({ length: 40 }, message)))
  while (answered === 0) await turn()
  t.ok(answered < 20, `others had their turn after ${answered}`)
  loop.end('test')
})
