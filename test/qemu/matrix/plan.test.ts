import t from 'tap'
import { mergeFlags, planMachines } from '../../../qemu/matrix/plan.js'
import { matrixTest, readMatrixText } from '../../fixtures/matrix-text.js'

const plan = (text: string, only: readonly string[] = []) =>
  planMachines(readMatrixText(text, 'x.toml'), only)

const shape = (machines: ReturnType<typeof planMachines>) =>
  machines.map(({ id, tests }) => [id, ...tests.map(test => test.id)])

const AXES = '[kernels]\n"6.1" = {}\n"6.12" = {}\n[configurations]\nsmall = {}\nsmp = {}\n'
const TEXT = [
  AXES,
  matrixTest('boots'),
  matrixTest('crash', 'x', 'expect = "panic"', 'kernels = ["6.12"]', 'configurations = ["smp"]'),
  matrixTest('share works', 'true', 'configurations = ["small"]'),
].join('')

t.test(
  'a machine for each kernel in each configuration, and one for each test that wants its own',
  async t => {
    t.strictSame(shape(plan(TEXT)), [
      ['6.1/small', '6.1/small/boots', '6.1/small/share works'],
      ['6.1/smp', '6.1/smp/boots'],
      ['6.12/small', '6.12/small/boots', '6.12/small/share works'],
      ['6.12/smp', '6.12/smp/boots'],
      ['6.12/smp/crash', '6.12/smp/crash'],
    ])
  },
)

t.test('without kernels and configurations', async t => {
  const tests = matrixTest('a') + matrixTest('b', 'x', 'fresh = true')
  t.strictSame(shape(plan(tests)), [
    ['machine', 'a'],
    ['b', 'b'],
  ])
  t.strictSame(shape(plan(`[kernels]\nk = {}\n${tests}`)), [
    ['k', 'k/a'],
    ['k/b', 'k/b'],
  ])
})

t.test('-only', async t => {
  const ids = (...only: string[]) => plan(TEXT, only).flatMap(({ tests }) => tests.map(({ id }) => id))
  t.strictSame(ids('crash'), ['6.12/smp/crash'])
  t.strictSame(ids('6.1'), ['6.1/small/boots', '6.1/small/share works', '6.1/smp/boots'])
  t.strictSame(ids('6.12/*/boots'), ['6.12/small/boots', '6.12/smp/boots'])
  t.strictSame(ids('share*', '6.1/smp/boots'), [
    '6.1/small/share works',
    '6.1/smp/boots',
    '6.12/small/share works',
  ])
  t.throws(() => ids('crash', 'boot'), {
    name: 'UsageError',
    message: 'no test of x.toml matches -only boot',
    remedy: 'did you mean boots?',
  })
  t.throws(() => ids('6.1/crash'), { remedy: 'cpu-vm test -list shows all' } as Error & { remedy: string })
})

t.test('a kernel or a configuration that no test is for', async t => {
  const text = (key: string) => AXES + matrixTest('a', 'x', key)
  t.throws(() => plan(text('kernels = ["6.1"]')), { message: 'x.toml: no test is for kernel 6.12' })
  t.throws(() => plan(text('configurations = ["smp"]')), {
    message: 'x.toml: no test is for configuration small',
  })
})

t.test('the more special flag wins; lists and words for the kernel add up', async t => {
  t.strictSame(
    mergeFlags(
      { memory: 512, append: 'a', share: ['x=/x'], accel: 'tcg' },
      { append: 'b', memory: 1024 },
      { share: ['y=/y'], append: 'c' },
    ),
    { memory: 1024, append: 'a b c', share: ['x=/x', 'y=/y'], accel: 'tcg' },
  )
  const flags = '[machine]\nmemory = 512\nappend = "a"\n[kernels]\nk = { append = "b" }\n'
  const [machine] = plan(`${flags}[configurations]\nc = { memory = 600 }\n${matrixTest()}`)
  t.strictSame(machine?.flags, { memory: 600, append: 'a b' })
})
