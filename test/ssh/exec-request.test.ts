import t from 'tap'
import { decodeExec, encodeExec, ReceivedEnvironment } from '../../src/ssh/exec-request.js'

/** What a server that decodes strings as UTF-8 makes of a request. */
function received(args: Buffer[], environment: Map<string, Buffer>, filePort?: number) {
  const { command, environment: sent } = encodeExec({ args, filePort }, environment, 'ours')
  const server = new ReceivedEnvironment()
  for (const [key, value] of Object.entries(sent)) {
    if (value.length > 35_000) throw new Error(`${key} does not fit a packet`)
    server.set(key, value.toString('utf8'))
  }
  if (command.length > 35_000) throw new Error('the command does not fit a packet')
  return server.decode(command.toString('utf8'))
}

t.test('the wire form of a command', async t => {
  const args = ['date', '-d', "it's", ''].map(arg => Buffer.from(arg))
  t.equal(
    encodeExec({ args, filePort: 4321 }, new Map(), 'ours').command.toString(),
    `-port9p=4321 'date' '-d' 'it'"'"'s' ''`,
  )
  t.equal(encodeExec({ args: [], filePort: undefined }, new Map(), 'ours').command.toString(), '')
})

t.test('the wire form that the Go client sends', async t => {
  t.same(decodeExec(Buffer.from(`-port9p=17 'a b' 'it'"'"'s'`)), {
    filePort: 17,
    args: [Buffer.from('a b'), Buffer.from("it's")],
  })
  t.same(decodeExec(Buffer.from(`ls -l "x y"`)), {
    filePort: undefined,
    args: ['ls', '-l', 'x y'].map(arg => Buffer.from(arg)),
  })
})

t.test('arguments and variables arrive byte for byte', async t => {
  const every = Buffer.from(Array.from({ length: 255 }, (_, index) => index + 1))
  const args = [
    Buffer.from('printf'),
    every,
    Buffer.from(''),
    Buffer.from('ä\n"$x"'),
    Buffer.alloc(100_000, 'x'),
  ]
  const environment = new Map([
    ['PLAIN', Buffer.from('ä=b')],
    ['BYTES', every],
    ['LONG', Buffer.alloc(200_000, 'y')],
    ['EMPTY', Buffer.alloc(0)],
  ])
  const got = received(args, environment, 99)
  t.same(got.exec, { args, filePort: 99 })
  t.same(got.program, environment)
})

t.test('a short command in UTF-8 is sent once', async t => {
  const request = { args: [Buffer.from('é')], filePort: undefined }
  t.same(encodeExec(request, new Map(), 'ours').environment, {})
})

t.test('to a server that is not ours all goes as it is, up to what its packets hold', async t => {
  const value = Buffer.from([0x66, 0xfe])
  const args = ['printf', 'x'.repeat(100_000)].map(arg => Buffer.from(arg))
  const environment = new Map([
    ['BYTES', value],
    ['LONG', Buffer.alloc(40_000, 'y')],
    ['TOO_LONG', Buffer.alloc(250_001, 'z')],
  ])
  const { command, environment: sent } = encodeExec({ args, filePort: undefined }, environment, 'another')
  t.equal(command.toString(), `'printf' '${'x'.repeat(100_000)}'`)
  t.same(sent, { BYTES: value, LONG: environment.get('LONG') })
  const long = { args: [Buffer.alloc(300_000, 'x')], filePort: 7 }
  t.match(encodeExec(long, new Map(), 'another').command.toString(), /^-port9p=7 'cpu: this server cannot/)
})

t.test('what is between client and server does not reach the program', async t => {
  const server = new ReceivedEnvironment()
  for (const [key, value] of [
    ['CPUNONCE', 'n'],
    ['CPU_FSTAB', 'a'],
    ['LC_GLENDA_CPU_FSTAB', 'b'],
    ['HOME', '/h'],
  ] as const)
    server.set(key, value)
  const { nonce, fstab, program } = server.decode('true')
  t.same(
    { nonce, fstab, program },
    { nonce: 'n', fstab: 'a', program: new Map([['HOME', Buffer.from('/h')]]) },
  )
})

t.test('the fstab comes also under the name that sshd lets through', async t => {
  const server = new ReceivedEnvironment()
  server.set('LC_GLENDA_CPU_FSTAB', 'b')
  t.equal(server.decode('true').fstab, 'b')
})
