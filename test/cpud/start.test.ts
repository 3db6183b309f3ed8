// How cpud starts, and when it does not.
import { type ChildProcess, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import t, { type Test } from 'tap'
import { packageRoot } from '../../src/version.js'
import { cpu, eventually } from '../fixtures/cpu-command.js'
import { startCpud } from '../fixtures/local-cpud.js'
import { spawnAsUser } from '../fixtures/spawn-as-user.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const CPUD = path.join(packageRoot(), 'dist/bundle/cpud.cjs')

interface Started {
  readonly daemon: ChildProcess
  readonly log: () => string
}

/** With nothing but these flags; it ends with the test. */
function start(t: Test, args: readonly string[]): Started {
  const daemon = spawnAsUser(process.execPath, [CPUD, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    cwd: '/',
  })
  t.teardown(() => daemon.kill('SIGKILL'))
  let said = ''
  daemon.stderr!.on('data', text => {
    said += text
  })
  return { daemon, log: () => said }
}

async function refusal(t: Test, args: readonly string[]): Promise<[number, string]> {
  const { daemon, log } = start(t, args)
  const [code] = await once(daemon, 'close')
  return [code, log()]
}

/** Flags of a cpud on a unix socket of this directory, with these keys. */
function flagsIn(directory: string, keys: string): string[] {
  fs.writeFileSync(path.join(directory, 'keys'), keys)
  return ['-net', 'unix', '-addr', path.join(directory, 'socket'), '-hk', path.join(directory, 'host')]
}

t.test('who may log in has to be said, in one way', async t => {
  const directory = temporaryDirectory(t)
  const keys = path.join(directory, 'keys')
  const flags = flagsIn(directory, '# nobody\nno-such-option ssh-ed25519 AAAA\n')
  t.same(await refusal(t, flags), [
    2,
    'cpud: who may log in is not said (give -pk FILE (authorized_keys), or -insecure-no-auth for everybody)\n',
  ])
  t.same(await refusal(t, [...flags, '-pk', keys, '-insecure-no-auth']), [
    2,
    'cpud: -pk and -insecure-no-auth contradict each other (leave one of them out)\n',
  ])
  t.same(await refusal(t, [...flags, '-pk', keys]), [
    2,
    `cpud: ${keys}:2: key not taken: unknown option "no-such-option"\ncpud: ${keys} (-pk) holds no key that could log in\n`,
  ])
  const [code, said] = await refusal(t, [...flags, '-pk', '/no/such'])
  t.equal(code, 2)
  t.match(said, /^cpud: cannot read the authorized keys: ENOENT.*\n.*holds no key/)
})

t.test('-insecure-no-auth lets anybody in', async t => {
  const directory = temporaryDirectory(t)
  const { log } = start(t, [...flagsIn(directory, ''), '-insecure-no-auth'])
  t.ok(await eventually(() => log().includes('listening')))
  const host = path.join(directory, 'socket')
  const flags = [
    '-net',
    'unix',
    '-9p=false',
    '-hk',
    path.join(directory, 'host.pub'),
    '-key',
    path.join(directory, 'key'),
  ]
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', path.join(directory, 'key')])
  t.equal((await cpu({ flags, host, env: {} }, ['echo', 'in'])).stdout.toString(), 'in\n')
  t.match(log(), 'unix: connected: anybody (-insecure-no-auth)')
})

t.test('a host key is made once, whoever starts at the same time, and kept', async t => {
  const directory = temporaryDirectory(t)
  const host = path.join(directory, 'deep/host')
  const startOne = (name: string) =>
    start(t, ['-net', 'unix', '-addr', path.join(directory, name), '-hk', host, '-insecure-no-auth'])
  const several = ['a', 'b', 'c'].map(startOne)
  for (const { log } of several) t.ok(await eventually(() => log().includes('listening')), log())
  t.same(fs.readdirSync(path.dirname(host)).sort(), ['host', 'host.pub'])
  t.equal(fs.statSync(host).mode & 0o777, 0o600)
  const identity = execFileSync('ssh-keygen', ['-y', '-f', host]).toString().split(' ')[1]
  t.equal(fs.readFileSync(`${host}.pub`, 'latin1').split(' ')[1], identity)
  const before = fs.readFileSync(host)
  const again = startOne('d')
  t.ok(await eventually(() => again.log().includes('listening')))
  t.same(fs.readFileSync(host), before)
})

t.test('a host key that others can read, or that is none, is refused', async t => {
  const directory = temporaryDirectory(t)
  const flags = [...flagsIn(directory, ''), '-insecure-no-auth']
  const host = path.join(directory, 'host')
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', host])
  fs.chmodSync(host, 0o640)
  t.same(await refusal(t, flags), [
    1,
    `cpud: the host key ${host} is open to others: mode 0640 (chmod 600 ${host}, or remove it and let cpud make another)\n`,
  ])
  fs.writeFileSync(host, 'rubbish')
  fs.chmodSync(host, 0o600)
  const [code, said] = await refusal(t, flags)
  t.equal(code, 1)
  t.match(said, /^cpud: cannot use the host key .*name another place with -hk FILE\)\n$/)
})

/** What the kernel's log has now. */
function kernelLog(): string {
  const fd = fs.openSync('/dev/kmsg', fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
  const record = Buffer.alloc(8192)
  let text = ''
  try {
    for (;;) text += record.toString('latin1', 0, fs.readSync(fd, record))
  } catch (error) {
    // EPIPE: a record was overwritten meanwhile
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
  } finally {
    fs.closeSync(fd)
  }
  return text
}

t.test("-klog: the log goes to the kernel's as well", async t => {
  const { directory, log } = await startCpud(t, 'unix', { args: ['-klog'] })
  const line = `cpud: listening on unix${directory}/socket\n`
  t.match(log(), line)
  t.ok(kernelLog().includes(`;${line}`))
})

t.test('-register: "ok" to whoever waits, now or a little later', async t => {
  const directory = temporaryDirectory(t)
  const socket = path.join(directory, 'launcher')
  const { log } = await startCpud(t, 'unix', { args: ['-register', `unix${socket}`, '-registerTO', '30s'] })
  const server = net.createServer().listen(socket)
  t.teardown(() => server.close())
  const [peer] = (await once(server, 'connection')) as [net.Socket]
  let said = ''
  for await (const chunk of peer) said += chunk
  t.equal(said, 'ok')
  t.ok(await eventually(() => log().includes(`registered with unix${socket}\n`)))
})

t.test('-register: without anybody there cpud serves all the same', async t => {
  const target = await startCpud(t, 'unix', { args: ['-register', '127.0.0.1:1', '-registerTO', '300ms'] })
  const line = 'not registered (-register): cannot connect to 127.0.0.1:1: connection refused'
  t.ok(await eventually(() => target.log().includes(line)))
  t.equal((await cpu(target, ['echo', 'on'])).stdout.toString(), 'on\n')
  for (const address of ['launcher', ':1', '[::1]', 'host:0'])
    t.equal(
      (
        await refusal(t, [
          '-insecure-no-auth',
          '-hk',
          path.join(target.directory, 'host'),
          '-register',
          address,
        ])
      )[0],
      2,
    )
})
