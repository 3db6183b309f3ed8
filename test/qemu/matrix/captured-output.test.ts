import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import t from 'tap'
import { CapturedOutput, lastPart } from '../../../qemu/matrix/captured-output.js'
import { outputLines } from '../../../qemu/matrix/output-lines.js'
import { temporaryDirectory } from '../../fixtures/temporary-directory.js'

const MIB = 1024 * 1024

async function capture(chunks: readonly (string | Buffer)[], file?: string) {
  using output = new CapturedOutput(file)
  for (const chunk of chunks) output.write(chunk)
  output.end()
  await finished(output)
  return output.output
}

t.test('what is said, whole, and in a file', async t => {
  const file = join(temporaryDirectory(t), 'stdout')
  t.strictSame(await capture(['one\n', 'two\n'], file), { text: 'one\ntwo\n', isCut: false })
  t.equal(readFileSync(file, 'utf8'), 'one\ntwo\n')
  t.strictSame(await capture([]), { text: '', isCut: false })
  const [euro, halves] = [Buffer.from('€'), 2]
  t.equal((await capture([euro.subarray(0, halves), euro.subarray(halves)])).text, '€')
})

t.test('of very much the end, and the file has all', async t => {
  const file = join(temporaryDirectory(t), 'stdout')
  const chunks = Array.from({ length: 10 }, (_, index) => Buffer.alloc(MIB, String(index)))
  const { text, isCut } = await capture([...chunks, 'the end'], file)
  t.equal(isCut, true)
  t.equal(text.length, 4 * MIB)
  t.ok(text.startsWith('6') && text.endsWith('the end'))
  t.equal(readFileSync(file).length, 10 * MIB + 7)
  const one = await capture([Buffer.alloc(5 * MIB, 'x')])
  t.strictSame([one.text.length, one.isCut], [4 * MIB, true])
})

t.test('the part that reports have, and the lines that they show', async t => {
  const long = lastPart({ text: `${'x'.repeat(MIB)}end`, isCut: false })
  t.ok(long.isCut && long.text.endsWith('end') && long.text.length < MIB)
  t.strictSame(outputLines({ text: '\n', isCut: false }), [])
  t.strictSame(outputLines({ text: 'a\r\nb\n\n', isCut: false }), ['a', 'b'])
  t.strictSame(outputLines({ text: 'a\nb\nc\n', isCut: false }, 2), ['(more before)', 'b', 'c'])
  t.strictSame(outputLines({ text: 'c\n', isCut: true }), ['(more before)', 'c'])
  t.strictSame(outputLines({ text: '\x1b]0;title\x07\x1b[1;31mred\x1b[0m\x1b(B', isCut: false }), ['red'])
})
