import t from 'tap'
import { judgeKey, parseAuthorizedKeys } from '../../src/ssh/authorized-keys.js'
import { generateKey } from '../../src/ssh/generate-key.js'

const [one, two] = [generateKey('one').public, generateKey('two').public]

/** The only key of a one-line file, or what is wrong with it. */
function only(options: string) {
  const { keys, problems } = parseAuthorizedKeys(`${options} ${one}`, 'keys')
  t.equal(keys.length + problems.length, 1)
  return keys[0]?.options ?? problems[0]
}

t.test('a file: keys, comments, empty lines, carriage returns', async t => {
  const { keys, problems } = parseAuthorizedKeys(`# mine\n\n${one}\r\n  \t# more\n\tpty ${two}  \n`, 'keys')
  t.same(
    keys.map(({ place, comment, options }) => ({ place, comment, pty: options.pty })),
    [
      { place: 'keys:3', comment: 'one', pty: true },
      { place: 'keys:5', comment: 'two', pty: true },
    ],
  )
  t.same(problems, [])
})

t.test('options and their quoting', async t => {
  t.match(only('command="echo \\"a b\\", #c",no-pty'), {
    command: 'echo "a b", #c',
    pty: false,
    forwarding: true,
  })
  t.match(only('environment="A=1",environment="B=x=y",environment="A=2"'), {
    environment: new Map([
      ['A', '1'],
      ['B', 'x=y'],
    ]),
  })
  t.match(only('RESTRICT,Pty'), { pty: true, forwarding: false })
  t.match(only('pty,restrict'), { pty: false })
  t.match(only('restrict,port-forwarding'), { pty: false, forwarding: true })
  t.match(only('no-agent-forwarding,no-X11-forwarding,no-user-rc,permitopen="a:1",tunnel="0"'), { pty: true })
  t.match(only('command="a\\\\b"'), { command: 'a\\\\b' })
})

t.test('a line with anything unknown or malformed is not taken, and named', async t => {
  const cases: [options: string, reason: string][] = [
    ['no-ptty', 'unknown option "no-ptty" (did you mean no-pty?)'],
    ['frobnicate="x"', 'unknown option "frobnicate"'],
    ['no-pty="1"', 'the option no-pty takes no value'],
    ['command', 'the option command needs a value: command="..."'],
    ['command=x', 'a value has no quotes around it'],
    ['command="x', 'a quote has no end, or something stands behind it'],
    ['command="x"y', 'a quote has no end, or something stands behind it'],
    ['no-pty,', 'there is neither a key type nor an option'],
    ['environment="1=2"', 'environment is not NAME=value'],
    [
      'expiry-time="tomorrow"',
      'expiry-time is not YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, with a Z for UTC',
    ],
    [
      'expiry-time="20250631"',
      'expiry-time is not YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, with a Z for UTC',
    ],
    ['from="10.0.0.0/33"', '"10.0.0.0/33" is no range of addresses'],
    ['from="a/8"', '"a/8" is no range of addresses'],
    ['from=""', 'there is an empty pattern'],
    ['cert-authority', 'cpud verifies no certificates (cert-authority)'],
    ['principals="a"', 'cpud verifies no certificates (principals)'],
  ]
  for (const [options, reason] of cases) t.equal(only(options), `keys:1: key not taken: ${reason}`, options)
  const certificate = one.replace('ssh-ed25519', 'ssh-ed25519-cert-v01@openssh.com')
  const { keys, problems } = parseAuthorizedKeys(`${certificate}\nssh-ed25519 AAAA\n${two}`, 'keys')
  t.match(problems, [/^keys:1: .*certificate/, /^keys:2: key not taken: /])
  t.equal(keys.length, 1, 'the others are')
})

t.test('from= names addresses, ranges and patterns, and takes some out again', async t => {
  const cases: [from: string, address: string, expected: boolean][] = [
    ['192.0.2.7', '192.0.2.7', true],
    ['192.0.2.7', '192.0.2.70', false],
    ['192.0.2.0/24', '192.0.2.255', true],
    ['192.0.2.0/24', '192.0.3.0', false],
    ['10.*,!10.1.?.3', '10.1.22.3', true],
    ['10.*,!10.1.?.3', '10.1.2.3', false],
    ['!10.0.0.1', '10.0.0.2', false],
    ['2001:db8::/32', '2001:db8:1::1', true],
    ['2001:db8::/32', '192.0.2.7', false],
    ['0.0.0.0/0', 'unix', false],
    ['vsock/2', 'vsock/2', true],
    ['vsock/2', 'vsock/3', false],
    ['vsock/*,unix', 'unix', true],
    ['*', 'vsock/3', true],
    ['*.example.com', '192.0.2.7', false],
    ['192.0.2.7', '192x0y2z7', false],
  ]
  for (const [from, address, expected] of cases) {
    const options = only(`from="${from}"`)
    t.equal(typeof options === 'object' && options.from?.(address), expected, `${from} ${address}`)
  }
})

t.test('expiry-time is local time or UTC', async t => {
  t.match(only('expiry-time="20260102Z"'), { expiresMs: Date.UTC(2026, 0, 2) })
  t.match(only('expiry-time="202601021314Z"'), { expiresMs: Date.UTC(2026, 0, 2, 13, 14) })
  t.match(only('expiry-time="20260102131415"'), { expiresMs: new Date(2026, 0, 2, 13, 14, 15).getTime() })
  t.match(only('expiry-time="20260102Z",expiry-time="20250102Z"'), { expiresMs: Date.UTC(2025, 0, 2) })
})

t.test('of several lines for a key, the first that allows it', async t => {
  const text = [
    `from="10.0.0.0/8",no-pty ${one}`,
    `expiry-time="20200101",from="*" ${one}`,
    `from="192.0.2.*",restrict ${one}`,
  ].join('\n')
  const { keys } = parseAuthorizedKeys(text, 'keys')
  const judge = (address: string, nowMs?: number) => judgeKey(keys, keys[0]!.blob, address, nowMs)
  t.match(judge('10.1.1.1'), { key: { place: 'keys:1' } })
  t.match(judge('192.0.2.1'), { key: { place: 'keys:3' } })
  t.same(judge('unix'), { refusal: 'keys:3: the key is not taken from unix' })
  t.match(judge('unix', Date.UTC(2019)), { key: { place: 'keys:2' } })
  t.equal(judgeKey(keys, parseAuthorizedKeys(two, '').keys[0]!.blob, 'unix'), undefined)
})
