// What goes wrong outside the program: each time one line that says what to do, and the right exit code.
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import t, { type Test } from 'tap'
import { fetchDebianKernel } from '../../qemu/index.js'
import { cpu, type Target } from '../fixtures/cpu-command.js'
import { startGuest } from '../fixtures/guest.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const directory = temporaryDirectory(t)
const key = path.join(directory, 'key')
execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key])

interface Failure {
  readonly code: number
  readonly says: RegExp
}

async function fails(
  t: Test,
  flags: string[],
  operands: string[],
  expected: Failure,
  target: Partial<Target> = {},
): Promise<void> {
  const [host = '', ...command] = operands
  const whole = { flags: [...(target.flags ?? []), ...flags], host, env: { HOME: directory, ...target.env } }
  const { code, stdout, stderr } = await cpu(whole, command, { input: '', timeoutMs: 60_000 })
  t.equal(code, expected.code, [...flags, ...operands].join(' '))
  t.match(stderr, expected.says)
  t.match(stderr, /^cpud?: [^\n]+\n$/, 'one line')
  t.equal(stdout.toString(), '')
}

t.test('command lines that make no sense', async t => {
  const usage = (says: RegExp) => ({ code: 2, says })
  await fails(
    t,
    ['-net', 'vsock'],
    ['three', 'date'],
    usage(/"three" is no vsock context ID \(give a number/),
  )
  await fails(t, [], ['vsock/99999999999', 'date'], usage(/is no vsock context ID/))
  await fails(
    t,
    ['-sp', '70000'],
    ['localhost', 'date'],
    usage(/port 70000 is out of range \(give a number from 1 to 65535\)/),
  )
  await fails(t, ['-sp', '0'], ['localhost', 'date'], usage(/port 0 is out of range/))
  await fails(t, ['-nte', 'vsock'], ['3', 'date'], usage(/-nte.*did you mean -net/))
  await fails(t, ['-net', 'pigeon'], ['3', 'date'], usage(/pigeon/))
  await fails(
    t,
    ['-fstab', '/no/such/fstab'],
    ['localhost', 'date'],
    usage(/cannot read \/no\/such\/fstab \(-fstab\)/),
  )
  await fails(t, ['-namespace', 'lib'], ['localhost', 'date'], usage(/"lib"/))
  await fails(t, ['-9p=false', '-namespace', '/lib'], ['localhost', 'date'], usage(/needs files to bind/))
})

t.test('hosts that do not answer as they should', async t => {
  const lost = (says: RegExp) => ({ code: 255, says })
  await fails(t, [], ['no-such-host.invalid', 'date'], lost(/no-such-host.invalid.*\(check the name/))
  await fails(
    t,
    ['-sp', '1'],
    ['127.0.0.1', 'date'],
    lost(/127.0.0.1:1: connection refused \(is cpud running there/),
  )
  await fails(t, ['-net', 'unix'], ['/no/such/socket', 'date'], lost(/ENOENT.*\(is there such a socket/))
  await fails(
    t,
    ['-key', '/no/such/key'],
    ['127.0.0.1', 'date'],
    lost(/cannot read the private key \/no\/such\/key: no such file/),
  )
  await fails(
    t,
    ['-key', '/etc/passwd'],
    ['127.0.0.1', 'date'],
    lost(/cannot use \/etc\/passwd as a private key/),
  )
  const mute = await server(t, () => {})
  await fails(t, ['-timeout', '1s', '-sp', mute], ['127.0.0.1', 'date'], lost(/no answer in time/))
  const garbage = await server(t, socket => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  await fails(t, ['-sp', garbage], ['127.0.0.1', 'date'], lost(/no SSH session with 127.0.0.1/))
})

async function server(t: Test, onConnection: (socket: net.Socket) => void): Promise<string> {
  const sockets = new Set<net.Socket>()
  const listener = net.createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    onConnection(socket)
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    listener.close()
  })
  return String((listener.address() as net.AddressInfo).port)
}

t.test(
  'a guest without 9P (a cloud kernel), whose files come by FUSE, and keys that are not its',
  async t => {
    const kernel = await fetchDebianKernel({ flavour: 'cloud-amd64' })
    const guest = await startGuest(t, { name: 'cloud', kernel: kernel.image })
    const on = (flags: string[], says: RegExp) =>
      fails(t, flags, [guest.host, 'date'], { code: 255, says }, guest)
    await on(['-files', '9p'], /ENODEV.*type 9p \(this kernel has no 9P: .*-files 9p/)
    const byFuse = await cpu(guest, ['cat', `/tmp/cpu${key}.pub`])
    t.same([byFuse.code, byFuse.stdout.toString()], [0, fs.readFileSync(`${key}.pub`, 'utf8')], byFuse.stderr)
    await on(['-key', key], /accepts none of our keys \(tried .*key\) \(give the right one with -key/)
    await on(['-hk', `${key}.pub`], /the host key of .* is not the one that -hk names/)
    const knownHosts = path.join(guest.machine.directory, 'known_hosts')
    const right = fs.readFileSync(knownHosts, 'utf8')
    const wrong = fs.readFileSync(`${key}.pub`, 'utf8').split(' ').slice(0, 2).join(' ')
    fs.writeFileSync(knownHosts, right.replace(/ssh-ed25519 \S+/, wrong))
    await on([], /THE HOST KEY OF .* HAS CHANGED/)
    fs.writeFileSync(knownHosts, '')
    await on([], /the host key of .* is not known/)
    fs.writeFileSync(knownHosts, right)
  },
)
