// docs/ci.md and the example are files that cpu-vm test takes, and tell of every key and every end.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { COMMAND_FLAGS, RUN_FLAGS } from '../../../qemu/flags.js'
import { EXPECTED_ENDS } from '../../../qemu/matrix/expectation.js'
import { readMatrixFile } from '../../../qemu/matrix/matrix-file.js'
import { planMachines } from '../../../qemu/matrix/plan.js'
import { packageRoot } from '../../../src/version.js'
import { matrixTest, readMatrixText } from '../../fixtures/matrix-text.js'

const FLAGS = { machine: RUN_FLAGS, command: COMMAND_FLAGS }
const text = readFileSync(join(packageRoot(), 'docs/ci.md'), 'utf8')

t.test('the file in docs/ci.md', async t => {
  const [, toml = ''] = /^```toml\n(.*?)^```$/ms.exec(text) ?? []
  const matrix = readMatrixText(toml, 'docs/ci.md')
  t.strictSame(
    planMachines(matrix, []).map(({ id }) => id),
    [
      'own/small',
      'own/small/crash',
      'own/debug',
      'own/debug/crash',
      '6.1/small',
      '6.1/small/crash',
      '6.1/debug',
      '6.1/debug/crash',
    ],
  )
})

t.test('every key of a test, and every end', async t => {
  const read = () => readMatrixText(matrixTest('t', 'x', 'unknown = 1'), 'x')
  const { remedy = '' } = t.throws(read) as Error & { remedy?: string }
  const keys = remedy.replace('known: ', '').split(', ')
  t.ok(keys.includes('kernel-log'))
  for (const word of [...keys, ...EXPECTED_ENDS]) t.match(text, `\`${word}\``)
})

t.test('docs/examples/matrix.toml', async t => {
  const matrix = readMatrixFile(join(packageRoot(), 'docs/examples/matrix.toml'), FLAGS)
  t.strictSame(
    planMachines(matrix, []).map(({ id }) => id),
    ['6.1', '6.1/panic', '6.12', '6.12/panic'],
  )
})
