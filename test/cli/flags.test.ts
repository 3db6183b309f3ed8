import t from 'tap'
import { defineFlags, parseFlags } from '../../src/cli/flags.js'
import { UsageError } from '../../src/errors.js'

const table = defineFlags({
  net: { kind: 'string', choices: ['tcp', 'unix', 'vsock'], default: 'tcp', help: 'transport' },
  sp: { kind: 'integer', min: 1, max: 65535, placeholder: 'PORT', help: 'port' },
  key: { kind: 'string', placeholder: 'FILE', help: 'private key' },
  '9p': { kind: 'boolean', default: true, help: 'serve files' },
  ro: { kind: 'boolean', help: 'read-only' },
  timeout9p: { kind: 'duration', default: 10_000, help: 'time for the file connection' },
  env: { kind: 'list', help: 'environment' },
  secret: { kind: 'string', hidden: true, help: 'not shown' },
})

const defaults = {
  net: 'tcp',
  sp: undefined,
  key: undefined,
  '9p': true,
  ro: false,
  timeout9p: 10_000,
  env: [],
  secret: undefined,
}

t.test('command lines', async t => {
  for (const [line, values, operands] of [
    ['', {}, []],
    ['host date -u', {}, ['host', 'date', '-u']],
    ['-net vsock 3 date', { net: 'vsock' }, ['3', 'date']],
    ['--net vsock 3', { net: 'vsock' }, ['3']],
    ['-net=vsock 3', { net: 'vsock' }, ['3']],
    ['--net=vsock 3', { net: 'vsock' }, ['3']],
    ['-sp 17010 h', { sp: 17010 }, ['h']],
    ['-sp 0x4272 h', { sp: 17010 }, ['h']],
    ['-sp 022 h', { sp: 18 }, ['h']],
    ['-ro h', { ro: true }, ['h']],
    ['-ro false h', { ro: true }, ['false', 'h']],
    ['-9p=false h', { '9p': false }, ['h']],
    ['-9p=F h', { '9p': false }, ['h']],
    ['-9p -ro=1 h', { ro: true }, ['h']],
    ['-timeout9p 1m30s h', { timeout9p: 90_000 }, ['h']],
    ['-env A -env=B=c h', { env: ['A', 'B=c'] }, ['h']],
    ['-key a -key b h', { key: 'b' }, ['h']],
    ['-key= h', { key: '' }, ['h']],
    ['-key -ro h', { key: '-ro' }, ['h']],
    ['-key -- h', { key: '--' }, ['h']],
    ['-ro -- -net', { ro: true }, ['-net']],
    ['-ro - -net', { ro: true }, ['-', '-net']],
    ['-ro --', { ro: true }, []],
  ] as const) {
    const argv = line === '' ? [] : line.split(' ')
    const parsed = parseFlags(table, argv)
    t.same(parsed.values, { ...defaults, ...values }, line)
    t.same(parsed.operands, operands, line)
    t.same(argv.slice(parsed.operandIndex), operands, `${line}: index of the first operand`)
  }
})

t.test('values have the types of the table', async t => {
  const { values } = parseFlags(table, [])
  const net: 'tcp' | 'unix' | 'vsock' = values.net
  const port: number | undefined = values.sp
  const timeout: number = values.timeout9p
  const list: readonly string[] = values.env
  t.same([net, port, timeout, list], ['tcp', undefined, 10_000, []])
})

t.test('what is given is told from what is a default', async t => {
  t.same([...parseFlags(table, ['-net', 'tcp', '-9p=true', 'h', '-ro']).given], ['net', '9p'])
})

t.test('bad command lines, each in one line', async t => {
  for (const [argv, message, remedy] of [
    [['-nett', 'vsock'], 'unknown flag -nett', 'did you mean -net?'],
    [['-kye=x'], 'unknown flag -kye', 'did you mean -key?'],
    [['-frobnicate'], 'unknown flag -frobnicate', '-help lists all'],
    [['-secre'], 'unknown flag -secre', '-help lists all'],
    [['-toString'], 'unknown flag -toString', '-help lists all'],
    [['---net'], 'malformed flag "---net"', 'write -name, -name=value or -name value'],
    [['-=x'], 'malformed flag "-=x"', 'write -name, -name=value or -name value'],
    [['-sp'], 'flag -sp needs a value', 'write -sp PORT'],
    [['-sp', 'ssh'], 'invalid value "ssh" for flag -sp: not a whole number', undefined],
    [['-sp', '1.5'], 'invalid value "1.5" for flag -sp: not a whole number', undefined],
    [
      ['-sp=9999999999999999999'],
      'invalid value "9999999999999999999" for flag -sp: not a whole number',
      undefined,
    ],
    [['-sp', '0'], 'invalid value "0" for flag -sp: not between 1 and 65535', undefined],
    [['-sp', '70000'], 'invalid value "70000" for flag -sp: not between 1 and 65535', undefined],
    [['-net', 'udp'], 'invalid value "udp" for flag -net: not one of tcp, unix, vsock', undefined],
    [['-9p=maybe'], 'invalid value "maybe" for flag -9p: neither true nor false', undefined],
    [
      ['-timeout9p', '10'],
      'invalid value "10" for flag -timeout9p: not a duration',
      'write it as 10s, 250ms or 1m30s',
    ],
    [['-timeout9p', '-1s'], 'invalid value "-1s" for flag -timeout9p: less than 0s', undefined],
    [['-net', 'a\nb'], 'invalid value "a\\nb" for flag -net: not one of tcp, unix, vsock', undefined],
  ] as const)
    t.throws(() => parseFlags(table, argv), { constructor: UsageError, message, remedy }, argv.join(' '))
})
