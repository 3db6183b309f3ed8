import t from 'tap'
import { fileName } from '../../../qemu/matrix/matrix-file.js'
import { matrixTest, readMatrixText } from '../../fixtures/matrix-text.js'

const read = (text: string) => readMatrixText(text, '/m/x.toml')

const TEST = matrixTest()

t.test('everything that may be in it', async t => {
  const matrix = read(`
timeout = "10m"
[machine]
memory = 512
share = ["src=lib"]
[kernels]
own = { kernel = "arch/x86/boot/bzImage", append = "quiet" }
debian = { debian = "backports/amd64" }
[configurations.small]
cpus = 1
[[test]]
name = "line"
command = "uname -r | grep 6"
timeout = "10s"
[[test]]
name = "words"
command = ["cat", "a b"]
exit-code = 1
stdout = "^a$"
stderr = "b"
kernels = ["own"]
configurations = ["small"]
[[test]]
name = "crash"
command = "echo c > /proc/sysrq-trigger"
expect = "panic"
kernel-log = "sysrq"
[[test]]
name = "oops"
command = "x"
expect = "oops"
fail-on-oops = false
`)
  t.match(matrix, {
    timeoutMs: 600_000,
    flags: { memory: 512, share: ['src=/m/lib'] },
    kernels: [
      { name: 'own', debian: undefined, flags: { kernel: '/m/arch/x86/boot/bzImage', append: 'quiet' } },
      { name: 'debian', debian: 'backports/amd64', flags: {} },
    ],
    configurations: [{ name: 'small', flags: { cpus: 1 } }],
  })
  const [line, words, crash, oops] = matrix.tests
  t.match(line, {
    command: ['sh', '-c', 'uname -r | grep 6'],
    fresh: false,
    expected: { end: 'exit', exitCode: 0, stdout: undefined },
    flags: { timeout: 10_000 },
    kernels: undefined,
  })
  t.match(words, { command: ['cat', 'a b'], kernels: ['own'], configurations: ['small'] })
  t.strictSame(words?.expected.stdout, /^a$/m, '^ and $ are of a line')
  t.equal(words?.expected.exitCode, 1)
  t.match(crash, { fresh: true, expected: { end: 'panic', kernelLog: /sysrq/m } })
  t.match(oops, { fresh: true, flags: { 'fail-on-oops': true } })
})

t.test('a file with nothing but a test', async t => {
  const matrix = read(TEST)
  t.strictSame(matrix.kernels, [{ name: undefined, flags: {}, debian: undefined }])
  t.strictSame(matrix.configurations, [{ name: undefined, flags: {} }])
  t.equal(read(`fresh = true\n${TEST}`).tests[0]?.fresh, true)
  t.equal(read(`fresh = true\n${TEST}fresh = false`).tests[0]?.fresh, false)
})

t.test('mistakes are told with their line', async t => {
  const cases: [string, string, (string | RegExp)?][] = [
    ['', '1: there are no tests', /\[\[test\]\]/],
    ['[test]\nname = "x"', '1: "test" is not a list of tables, each [[test]]'],
    [`${TEST}comand = "x"`, '4: unknown key "comand" in [[test]]', 'did you mean command?'],
    [`tset = 1\n${TEST}`, '1: unknown key "tset"', 'did you mean test?'],
    [`[machine]\ncpu = 1\n${TEST}`, '2: unknown key "cpu" in [machine]', 'did you mean cpus?'],
    [`[machine]\nname = "v"\n${TEST}`, '2: unknown key "name" in [machine]'],
    [`[machine]\ndry-run = true\n${TEST}`, '2: unknown key "dry-run" in [machine]'],
    [`${TEST}memory = 512`, '4: unknown key "memory" in [[test]]'],
    [`[kernels]\n${TEST}`, '1: there is no kernel'],
    [`[kernels]\na = "bzImage"\n${TEST}`, '2: "a" in [kernels] is not a table', /kernel = "bzImage"/],
    [`[kernels]\n"a/b" = {}\n${TEST}`, '2: invalid name of a kernel: "a/b"'],
    [`[kernels]\na = { debian = "amd46" }\n${TEST}`, '2: unknown kernel of Debian\'s "amd46"', /amd64/],
    [`[kernels]\na = { debian = "amd64", kernel = "x" }\n${TEST}`, "2: kernel a is both Debian's and a file"],
    [
      `[configurations]\na = { accel = "no" }\n${TEST}`,
      '2: invalid value "no" for flag -accel: not one of auto, kvm, tcg',
    ],
    [`${TEST}kernels = ["a"]`, '4: "a" is none of the kernels', 'the file names none'],
    [`[kernels]\nabc = {}\n${TEST}kernels = ["abd"]`, '6: "abd" is none of the kernels', 'did you mean abc?'],
    [`${TEST}configurations = []`, '4: a test for no configurations'],
    [`${TEST}${TEST}`, '5: the name "t" is too much like "t", which another test has'],
    [
      matrixTest('a:b') + matrixTest('a b'),
      '5: the name "a b" is too much like "a:b", which another test has',
    ],
    ['[[test]]\ncommand = "x"', '1: a test without a name'],
    ['[[test]]\nname = "a/b"\ncommand = "x"', '2: invalid name of a test: "a/b"'],
    ['[[test]]\nname = "a"', '1: a test without a command'],
    ['[[test]]\nname = "a"\ncommand = " "', '3: the command of a test is neither text nor a list of words'],
    ['[[test]]\nname = "a"\ncommand = [""]', '3: the command of a test is neither text nor a list of words'],
    [`${TEST}expect = "pannic"`, '4: no test can expect "pannic"', 'did you mean panic?'],
    [`${TEST}expect = "panic"\nexit-code = 1`, '5: a test that expects panic has no exit code'],
    [`${TEST}exit-code = 256`, '4: no exit code: 256'],
    [`${TEST}stdout = ""`, '4: an empty stdout matches everything'],
    [`${TEST}stdout = "("`, '4: Invalid regular expression: /(/m: Unterminated group'],
    [`${TEST}timeout = 10`, '4: "timeout" in [[test]] is not a string'],
    [`timeout = "0s"\n${TEST}`, '1: invalid value "0s" for flag -timeout: less than 1ms'],
  ]
  for (const [text, message, remedy] of cases) {
    const wanted = { name: 'UsageError', message: `/m/x.toml:${message}` }
    t.throws(() => read(text), remedy === undefined ? wanted : { ...wanted, remedy })
  }
})

t.test('a test may have any name, and a file for it', async t => {
  t.equal(fileName('a b: c'), 'a_b__c')
  t.equal(fileName('../x'), '_._x')
  t.equal(fileName('Prüfung-1.2_x+y'), 'Prüfung-1.2_x+y')
})
