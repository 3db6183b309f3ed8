import { Writable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { batchWrites } from '../../src/ssh/batch-writes.js'

/** Keeps what it is given, by system call. */
function recorder(highWaterMark = 1000): { stream: Writable; calls: string[] } {
  const calls: string[] = []
  const stream = new Writable({
    highWaterMark,
    write(chunk, _encoding, done) {
      calls.push(String(chunk))
      done()
    },
    writev(chunks, done) {
      calls.push(chunks.map(({ chunk }) => String(chunk)).join('+'))
      done()
    },
  })
  batchWrites(stream)
  return { stream, calls }
}

t.test('what is written in one turn goes out together', async t => {
  const { stream, calls } = recorder()
  for (const text of ['a', 'b', 'c']) stream.write(text)
  t.same(calls, [])
  await turn()
  t.same(calls, ['a+b+c'])
  stream.write('d')
  await turn()
  stream.write('e')
  stream.write('f')
  await turn()
  t.same(calls, ['a+b+c', 'd', 'e+f'])
})

t.test('encodings and callbacks are passed on', async t => {
  const { stream, calls } = recorder()
  let told = 0
  stream.write('616263', 'hex', () => told++)
  stream.write('d', () => told++)
  await turn()
  t.same(calls, ['abc+d'])
  t.equal(told, 2)
})

t.test('the end waits for nothing', async t => {
  const { stream, calls } = recorder()
  stream.write('a')
  stream.end('b')
  t.same(calls, ['a+b'])
  await turn()
  t.equal(stream.writableFinished, true)
})

t.test('a stream destroyed in the same turn loses what it has not written, and nothing fails', async t => {
  const { stream, calls } = recorder()
  stream.write('a')
  stream.destroy()
  await turn()
  t.same(calls, [])
})

t.test('a full stream says so', async t => {
  const { stream } = recorder(4)
  t.equal(stream.write('abc'), true)
  t.equal(stream.write('def'), false)
  await new Promise(resolve => stream.once('drain', resolve))
  t.equal(stream.write('g'), true)
})
