// u-root's Go client, played, against our cpud. Its files need a kernel with 9P: test/e2e/go.test.ts has those.
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import type ssh2 from 'ssh2'
import t, { type Test } from 'tap'
import { eventually } from '../fixtures/cpu-command.js'
import { GoCpu, type GoCpuOptions } from '../fixtures/go-cpu.js'
import { GO_ALGORITHMS } from '../fixtures/go-ssh.js'
import { connectRaw } from '../fixtures/hostile-peer.js'
import { type LocalCpud, startCpud } from '../fixtures/local-cpud.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

function dial(t: Test, cpud: LocalCpud, options: Partial<GoCpuOptions> = {}): Promise<GoCpu> {
  const privateKey = fs.readFileSync(path.join(cpud.directory, 'key'))
  return GoCpu.dial(t, { stream: connectRaw(t, cpud), privateKey, ...options })
}

const inherited = { PATH: process.env['PATH']!, PWD: '/' }

t.test('a command without files', async t => {
  const cpu = await dial(t, await startCpud(t, 'tcp'))
  const command = (...args: string[]) => cpu.run({ args, env: inherited })
  t.same(await command('printf', '%s|', 'a b', "it's", '', '$HOME'), {
    ...{ stdout: "a b|it's||$HOME|", stderr: '', code: 0 },
  })
  t.equal((await command('sh', '-c', 'exit 3')).code, 3)
  t.equal((await command('sh', '-c', 'kill -TERM $$')).code, 143)
  t.same(await command('no-such-command'), {
    ...{ stdout: '', stderr: 'cpud: no-such-command: command not found\n', code: 127 },
  })
})

t.test("the program's environment is what the client sent, without what was for cpud", async t => {
  const cpu = await dial(t, await startCpud(t, 'tcp'))
  // What Go makes of no fstab and no namespace, and no nonce since there are no files.
  const protocols = { CPU_FSTAB: '\n\n', LC_GLENDA_CPU_FSTAB: '\n\n' }
  const env = { ...inherited, LINES_: 'a\nb', EMPTY: '', EQUALS: 'a=b', CPU_OWN: 'kept', ...protocols }
  const { stdout } = await cpu.run({ args: ['env', '-0'], env })
  const own = stdout.split('\0').filter(line => !/^(SHLVL|_|PWD|OLDPWD)=/.test(line))
  t.same(own.sort(), ['', 'CPU_OWN=kept', 'EMPTY=', 'EQUALS=a=b', 'LINES_=a\nb', `PATH=${inherited.PATH}`])
})

t.test('an fstab by either of its names', async t => {
  const cpu = await dial(t, await startCpud(t, 'tcp'))
  // The user's lines first, then what the client made of the namespace, with the empty line that Go leaves.
  const fstab = '\ntmpfs /mnt tmpfs defaults 0 0\n'
  for (const name of ['CPU_FSTAB', 'LC_GLENDA_CPU_FSTAB']) {
    const args = ['sh', '-c', 'stat -f -c %T /mnt; ls -d /tmp/local/etc']
    const { stdout, stderr } = await cpu.run({ args, env: { ...inherited, [name]: fstab } })
    t.same([stdout, stderr], ['tmpfs\n/tmp/local/etc\n', ''], name)
  }
})

t.test('a terminal has the size, the type and the echo that Go’s cpud would give it', async t => {
  const cpu = await dial(t, await startCpud(t, 'tcp'))
  const script = 'stty size; stty -a | grep -wo -e "-*echo"; echo "$TERM"; tty >&2'
  const expected = (term: string) => `33 77\r\necho\r\n${term}\r\n`
  // Older clients ask for no echo, newer ones for echo.
  for (const echo of [0, 1] as const) {
    const command = { args: ['sh', '-c', script], terminal: { rows: 33, columns: 77, echo } }
    t.match((await cpu.run({ ...command, env: inherited })).stdout, expected('ansi'))
    t.match((await cpu.run({ ...command, env: { ...inherited, TERM: 'xterm' } })).stdout, expected('xterm'))
  }
})

t.test('window changes, what is typed, and an end by the client, on a terminal', async t => {
  const cpu = await dial(t, await startCpud(t, 'tcp'))
  const script = 'trap "stty size" WINCH; echo ready; until read line; do :; done; echo "got $line"; sleep 60'
  const command = { args: ['sh', '-c', script], env: inherited, terminal: { rows: 24, columns: 80 } }
  const { channel, ended } = await cpu.start(command)
  let screen = ''
  channel.on('data', (data: Buffer) => {
    screen += data
  })
  t.ok(await eventually(() => screen.includes('ready')))
  channel.setWindow(40, 100, 800, 640)
  t.ok(await eventually(() => screen.includes('40 100')))
  channel.write('word\n')
  t.ok(await eventually(() => screen.includes('got word')))
  t.match(screen, /^ready\r\n40 100\r\nword\r\ngot word/)
  channel.close()
  await ended
})

t.test('TERM and INT', async t => {
  const cpu = await dial(t, await startCpud(t, 'tcp'))
  for (const name of ['TERM', 'INT']) {
    const script = `trap 'echo got ${name}; exit 9' ${name}; echo ready; while :; do sleep 0.05; done`
    const trapped = await cpu.start({ args: ['sh', '-c', script], env: inherited })
    await once(trapped.channel, 'data')
    trapped.channel.signal(name)
    t.match(await trapped.ended, { stdout: `ready\ngot ${name}\n`, code: 9 })
    const killed = await cpu.start({ args: ['sleep', '60'], env: inherited })
    killed.channel.signal(name)
    t.equal((await killed.ended).code, name === 'TERM' ? 143 : 130)
  }
})

t.test('stdin, to its end', async t => {
  const cpu = await dial(t, await startCpud(t, 'tcp'))
  const { channel, ended } = await cpu.start({ args: ['wc', '-c'], env: inherited })
  channel.end(Buffer.alloc(1_000_000))
  t.same(await ended, { stdout: '1000000\n', stderr: '', code: 0 })
})

t.test('a command and a variable as long as xargs(1) and Go’s packets have them', async t => {
  const cpu = await dial(t, await startCpud(t, 'tcp'))
  const args = ['sh', '-c', 'printf %s "$1" "$LONG" | wc -c', '-', 'x'.repeat(120_000)]
  const { stdout } = await cpu.run({ args, env: { ...inherited, LONG: 'y'.repeat(100_000) } })
  t.equal(stdout, '220000\n')
})

t.test('no command is the user’s shell', async t => {
  const cpu = await dial(t, await startCpud(t, 'tcp'))
  const { channel, ended } = await cpu.start({ args: [], env: { ...inherited, SHELL: '/bin/sh' } })
  channel.end('echo from $0')
  t.equal((await ended).stdout, 'from /bin/sh\n')
})

t.test('the files are fetched through the forward, by 9P, with the nonce', async t => {
  const cpud = await startCpud(t, 'tcp')
  const root = temporaryDirectory(t)
  const cpu = await dial(t, cpud)
  const { fileEvents, ended } = await cpu.start({ args: ['true'], env: inherited, root })
  const { code, stderr } = await ended
  t.same(fileEvents.slice(0, 2), ['accepted', 'nonce matches'])
  t.same(code, 255, 'this kernel has no 9P')
  t.match(stderr, /^cpud: ENODEV: .*, mount cpu on \/tmp\/cpu type 9p \(this kernel has no 9P.*\)\n$/)
})

t.test('a client that finds a wrong nonce ends the session', async t => {
  const cpu = await dial(t, await startCpud(t, 'tcp'))
  const wrong = { args: ['true'], env: inherited, root: '/', nonce: '0'.repeat(32) }
  const { fileEvents, ended } = await cpu.start(wrong)
  t.equal((await ended).code, 255)
  t.ok(await eventually(() => fileEvents.length === 3))
  t.same(fileEvents, ['accepted', 'nonce mismatch', 'closed'])
  t.equal((await cpu.run({ args: ['true'], env: inherited })).code, 0, 'the connection goes on')
})

t.test('each algorithm that Go offers and we take, alone', async t => {
  const cpud = await startCpud(t, 'tcp')
  const alone = async (kind: keyof ssh2.Algorithms, name: string) => {
    const algorithms = { ...GO_ALGORITHMS, [kind]: [name] }
    const cpu = await dial(t, cpud, { algorithms })
    t.equal((await cpu.run({ args: ['true'], env: inherited })).code, 0, name)
    cpu.client.end()
  }
  for (const cipher of [
    'aes128-gcm@openssh.com',
    'chacha20-poly1305@openssh.com',
    'aes128-ctr',
    'aes256-ctr',
  ])
    await alone('cipher', cipher)
  for (const kex of ['curve25519-sha256', 'ecdh-sha2-nistp256', 'diffie-hellman-group14-sha256'])
    await alone('kex', kex)
})

t.test('keys of the types that Go’s client has: RSA is the type of its default', async t => {
  const cpud = await startCpud(t, 'tcp')
  for (const type of ['rsa', 'ecdsa'] as const) {
    const file = path.join(temporaryDirectory(t), 'key')
    execFileSync('ssh-keygen', ['-q', '-t', type, '-m', 'PEM', '-N', '', '-f', file])
    fs.appendFileSync(path.join(cpud.directory, 'keys'), fs.readFileSync(`${file}.pub`))
    const cpu = await dial(t, cpud, { privateKey: fs.readFileSync(file) })
    t.equal((await cpu.run({ args: ['true'], env: inherited })).code, 0, type)
  }
})
