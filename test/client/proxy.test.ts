// Ways to a host: a ProxyCommand, and a real sshd or two to go through, each with a key of its own to be known by.
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { CPU, collect, cpu, eventually, startCpu } from '../fixtures/cpu-command.js'
import { homeWith } from '../fixtures/home.js'
import { startCpud } from '../fixtures/local-cpud.js'
import { startSshd } from '../fixtures/local-sshd.js'
import { spawnAsUser } from '../fixtures/spawn-as-user.js'

const cpud = await startCpud(t, 'unix')
const sshd = await startSshd(t)
/** As `nc -U`. */
const RELAY = `const s = require("net").connect(process.argv[1]); process.stdin.pipe(s).pipe(process.stdout)`
const PYTHON_RELAY = `
import os, socket, sys, threading
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
def copy(source, target):
    while data := os.read(source, 65536):
        os.write(target, data)
    os._exit(0)
threading.Thread(target=copy, args=(0, s.fileno())).start()
copy(s.fileno(), 1)
`
const TO_CPUD = `${process.execPath} -e '${RELAY}' ${cpud.host}`
const JUMP = `IdentityFile ${sshd.clientKey}`

function target(t: Pick<Test, 'teardown'>, config: string[], knownHosts = '') {
  const flags = [
    '-9p=false',
    '-key',
    path.join(cpud.directory, 'key'),
    '-hk',
    path.join(cpud.directory, 'host.pub'),
  ]
  return { flags, host: 'board', env: homeWith(t, config, knownHosts).env }
}

t.test('a ProxyCommand leads there', async t => {
  const { stdout, code } = await cpu(target(t, ['Host board', `ProxyCommand ${TO_CPUD}`]), ['cat'], {
    input: Buffer.alloc(3_000_000, 'x'),
  })
  t.same([code, stdout.length], [0, 3_000_000])
})

t.test('what a ProxyCommand says is seen, and its end is told by its name', async t => {
  for (const [command, end] of [
    ['echo oops >&2; exit 3', 'ended with exit code 3'],
    ['kill -KILL $$', 'was killed by SIGKILL'],
    ['no-such-command', 'ended with exit code 127'],
  ] as const) {
    const script = path.join(t.testdir({}), 'proxy')
    fs.writeFileSync(script, command)
    const { code, stderr } = await cpu(target(t, ['Host board', `ProxyCommand sh ${script}`]), ['true'])
    t.equal(code, 255, command)
    t.ok(stderr.includes(`cpu: the ProxyCommand "sh ${script}" ${end}`), stderr)
    t.equal(stderr.startsWith('oops\n'), command.startsWith('echo oops'))
  }
})

t.test('a ProxyCommand that dies in the middle of a session, or before a hop', async t => {
  const pidFile = path.join(t.testdir({}), 'pid')
  const command = `sh -c 'echo $$ > ${pidFile}; exec ${TO_CPUD.replaceAll("'", `'"'"'`)}'`
  const child = startCpu(target(t, ['Host board', `ProxyCommand ${command}`]), [
    'sh',
    '-c',
    'echo ready; cat',
  ])
  const result = collect(child)
  await once(child.stdout!, 'data')
  process.kill(Number(fs.readFileSync(pidFile, 'utf8')), 'SIGKILL')
  const { code, stderr } = await result
  t.equal(code, 255)
  t.match(stderr, /^cpu: the ProxyCommand .* was killed by SIGKILL \(.*\)\n$/)
  const dead = ['Host one', 'ProxyCommand false', 'Host board', `HostName unix${cpud.host}`, 'ProxyJump one']
  const hop = await cpu(target(t, dead), ['true'])
  t.match(hop.stderr, /^cpu: the ProxyCommand "false" ended with exit code 1 /)
  const hopCommand = `sh -c 'echo $$ > ${pidFile}; exec ${sshd.inetdCommand}'`
  const way = [
    'Host one',
    `ProxyCommand ${hopCommand}`,
    JUMP,
    'Host board',
    `HostName unix${cpud.host}`,
    'ProxyJump one',
  ]
  const jumping = startCpu(target(t, way, `one ${sshd.hostKeys.ed25519}\n`), ['sh', '-c', 'echo ready; cat'])
  const jumped = collect(jumping)
  await once(jumping.stdout!, 'data')
  process.kill(Number(fs.readFileSync(pidFile, 'utf8')), 'SIGKILL')
  t.match((await jumped).stderr, /^cpu: the ProxyCommand .* was killed by SIGKILL \(.*\)\n$/)
})

t.test('a ProxyCommand does not outlive the session', async t => {
  const pidFile = path.join(t.testdir({}), 'pid')
  const stays = TO_CPUD.replace("-e '", "-e 'setInterval(() => {}, 1e6); ").replaceAll("'", `'"'"'`)
  const command = `sh -c 'echo $$ > ${pidFile}; exec ${stays}'`
  t.equal((await cpu(target(t, ['Host board', `ProxyCommand ${command}`]), ['true'])).code, 0)
  const pid = fs.readFileSync(pidFile, 'utf8').trim()
  t.ok(await eventually(() => !fs.existsSync(`/proc/${pid}`)))
})

t.test('a ProxyCommand for systemd, which passes on a descriptor', async t => {
  const config = ['Host unix/* board', 'ProxyCommand /no/systemd-ssh-proxy %h %p', 'ProxyUseFdpass yes']
  const { code, stderr } = await cpu(target(t, config), ['true'])
  t.same([code, stderr.includes('set ProxyUseFdpass no')], [2, true])
  const straight = { ...target(t, config), host: `unix${cpud.host}` }
  t.equal((await cpu(straight, ['true'])).code, 0)
})

t.test('ProxyJump, over one host and over two, each known by a key of its own', async t => {
  const jumps = [
    'Host one two',
    'HostName 127.0.0.1',
    `Port ${sshd.port}`,
    JUMP,
    'Host board',
    `HostName unix${cpud.host}`,
  ]
  const aliases = ['Host one', 'HostKeyAlias first', 'Host two', 'HostKeyAlias second']
  const known = `first ${sshd.hostKeys.ed25519}\nsecond ${sshd.hostKeys.rsa}\n`
  const config = (jump: string) => [...aliases, ...jumps, `ProxyJump ${jump}`]
  for (const [jump, seen] of [
    ['one', 1],
    ['one,two', 2],
  ] as const) {
    const { stdout, stderr, code } = await cpu(target(t, config(jump), known), ['echo', 'there'], {
      flags: ['-v'],
    })
    t.same([stdout.toString(), code], ['there\n', 0], stderr)
    t.equal(stderr.match(new RegExp(`connected to 127\\.0\\.0\\.1:${sshd.port}`, 'g'))?.length, seen)
  }
  const wrong = await cpu(
    target(t, config('one,two'), `${known}@revoked second ${sshd.hostKeys.rsa}\n`),
    ['true'],
    {
      detached: true,
    },
  )
  t.equal(wrong.code, 255)
  t.match(wrong.stderr, /cpu: the host key of second is revoked/)
  const unknown = await cpu(target(t, config('one,two'), known.split('\n').slice(1).join('\n')), ['true'], {
    detached: true,
  })
  t.match(unknown.stderr, /cpu: the host key of first is not known/)
})

const OVER_INETD = [
  'Host one',
  `ProxyCommand ${sshd.inetdCommand}`,
  JUMP,
  'Host board',
  `HostName unix${cpud.host}`,
  'ProxyJump one',
]

t.test('a host on the way may have a way of its own', async t => {
  const { code, stderr } = await cpu(target(t, OVER_INETD, `one ${sshd.hostKeys.ecdsa}\n`), ['true'])
  t.same([code, stderr], [0, ''])
})

t.test('your files go the same way back', async t => {
  const { flags, ...rest } = target(t, OVER_INETD, `one ${sshd.hostKeys.ecdsa}\n`)
  const served = { ...rest, flags: ['-namespace', 'none', ...flags.filter(flag => flag !== '-9p=false')] }
  const file = path.join(t.testdir({ mine: 'a file of mine\n' }), 'mine')
  const { stdout, code } = await cpu(served, ['cat', `/tmp/cpu${file}`])
  t.same([code, stdout.toString()], [0, 'a file of mine\n'])
})

t.test('where a host on the way cannot reach it, that is said', async t => {
  const jump = ['Host one', `ProxyCommand ${sshd.inetdCommand}`, JUMP]
  const nowhere = [...jump, 'Host board', 'HostName unix/no/such/socket', 'ProxyJump one']
  const known = `one ${sshd.hostKeys.ed25519}\n`
  const failed = await cpu(target(t, nowhere, known), ['true'])
  t.equal(failed.code, 255)
  t.match(failed.stderr, /^cpu: cannot connect to unix\/no\/such\/socket: /)
  const vsock = await cpu(target(t, [...jump, 'Host board', 'HostName vsock/77', 'ProxyJump one'], known), [
    'true',
  ])
  t.match(
    vsock.stderr,
    /^cpu: cannot connect to vsock\/77:17010: .*ProxyJump leads to tcp and unix sockets only/,
  )
})

t.test('a way in circles is found out', async t => {
  const { code, stderr } = await cpu(target(t, ['Host board', 'ProxyJump board']), ['true'])
  t.equal(code, 2)
  t.match(stderr, /the way to board goes through more than 16 hosts/)
})

t.test('-dry-run shows the way', async t => {
  const config = ['Host one', 'User me', 'Host board', `HostName unix${cpud.host}`, 'ProxyJump one']
  const { stdout } = await cpu(target(t, config), ['true'], { flags: ['-dry-run'] })
  t.match(stdout.toString(), /^# on unix\S+ as root\n# through one:22 as me\n/)
})

t.test('Ctrl-C is for the program, not for what leads to it', async t => {
  // Node does not heed that it is to ignore a signal, unlike ssh, nc and this.
  const relay = path.join(t.testdir({ 'relay.py': PYTHON_RELAY }), 'relay.py')
  const { env, flags } = target(t, ['Host board', `ProxyCommand python3 ${relay} ${cpud.host}`])
  const script = 'trap "echo got it; exit 9" INT; echo ready; while :; do sleep 0.05; done'
  const child = spawnAsUser(process.execPath, [CPU, ...flags, 'board', 'sh', '-c', script], {
    env,
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const result = collect(child, { timeoutMs: 20_000 })
  await Promise.race([once(child.stdout!, 'data'), result])
  // As a terminal does it: to all processes in the foreground.
  process.kill(-(child.pid ?? 0), 'SIGINT')
  const { code, stdout } = await result
  t.same([code, stdout.toString()], [9, 'ready\ngot it\n'])
})
