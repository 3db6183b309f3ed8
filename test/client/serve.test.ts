// `cpu -srv`, as its users run it, with a 9P client.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, lstatSync, mkdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parseServeAddress } from '../../src/client/serve.js'
import { UsageError } from '../../src/errors.js'
import { packageRoot } from '../../src/version.js'
import { collect, eventually } from '../fixtures/cpu-command.js'
import { NinepClient } from '../fixtures/ninep-client.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const CPU = join(packageRoot(), 'dist/src/bin/cpu.js')

function cpu(t: Test, ...args: string[]): ChildProcess {
  const child = spawn(process.execPath, [CPU, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  return child
}

/** A server of a directory with one file, and what it says on stderr so far. */
async function serve(t: Test, address: (directory: string) => string, ...flags: string[]) {
  const directory = temporaryDirectory(t)
  mkdirSync(join(directory, 'export'))
  writeFileSync(join(directory, 'export/f'), 'content')
  const child = cpu(t, '-srv', address(directory), '-root', join(directory, 'export'), ...flags)
  const said = { text: '' }
  child.stderr!.on('data', chunk => {
    said.text += chunk
  })
  await eventually(() => said.text.includes('serving') || child.exitCode !== null)
  return { directory, child, said }
}

async function client(t: Test, to: string | number): Promise<{ client: NinepClient; root: number }> {
  const socket = typeof to === 'string' ? connect(to) : connect(to, '127.0.0.1')
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  const client = new NinepClient(socket)
  await client.start()
  return { client, root: await client.attach() }
}

t.test('on a socket file, for many, until it is told to end', async t => {
  const { directory, child, said } = await serve(t, directory => `unix:${directory}/s`)
  const path = join(directory, 's')
  t.equal(said.text, `cpu: serving ${directory}/export on unix${path}\n`)
  t.equal(lstatSync(path).mode & 0o777, 0o600)
  const clients = await Promise.all(Array.from({ length: 20 }, () => client(t, path)))
  const files = await Promise.all(clients.map(({ client, root }) => client.open(root, 'f', 2)))
  await clients[0]!.client.write(files[0]!, 'CONTENT')
  for (const [i, { client }] of clients.entries()) t.equal(String(await client.read(files[i]!)), 'CONTENT')
  child.kill('SIGTERM')
  const [code] = await once(child, 'exit')
  t.equal(code, 0)
  await Promise.all(clients.map(({ client }) => client.closed))
  t.notOk(existsSync(path))
  t.notMatch(said.text, '9p:')
})

t.test('on a port of loopback, read-only, with the messages shown', async t => {
  const { child, said } = await serve(t, () => 'tcp:127.0.0.1:0', '-ro', '-dbg9p', '-v')
  const port = Number(/read-only on 127\.0\.0\.1:(\d+)/.exec(said.text)?.[1])
  const { client: reader, root } = await client(t, port)
  await t.rejects(reader.open(root, 'f', 2), { code: 'EROFS' })
  t.equal(String(await reader.read(await reader.open(root, 'f'))), 'content')
  t.match(said.text, /cpu: 9p: > Twalk .*"f"/)
  t.match(said.text, 'cpu: 9p: < Rlerror')
  t.match(said.text, /cpu: connected: 127\.0\.0\.1:\d+/)
  child.kill('SIGINT')
  t.same(await once(child, 'exit'), [0, null])
})

t.test('nothing wider without being told', async t => {
  for (const address of ['tcp:0.0.0.0:5640', 'tcp:[::]:5640', 'tcp:192.0.2.1:5640', 'vsock:5640']) {
    const { code, stderr } = await collect(cpu(t, '-srv', address, '-root', '/tmp'))
    t.equal(code, 2, address)
    t.match(stderr, /^cpu: .* can be reached by .*\(say -srv-open if that is meant/, stderr)
  }
  const { said } = await serve(t, () => 'tcp:0.0.0.0:0', '-srv-open')
  t.match(said.text, /serving .* on 0\.0\.0\.0:\d+/)
})

t.test('addresses', async t => {
  t.same(parseServeAddress('unix:/a/b'), { net: 'unix', path: '/a/b' })
  t.same(parseServeAddress('tcp:localhost:564'), { net: 'tcp', host: 'localhost', port: 564, family: 0 })
  t.same(parseServeAddress('tcp:[::1]:0'), { net: 'tcp', host: '::1', port: 0, family: 0 })
  t.match(parseServeAddress('vsock:17010'), { net: 'vsock', cid: 0xffff_ffff, port: 17010 })
  for (const wrong of ['', 'unix:', 'tcp:1', 'tcp:::1:5', 'tcp:a:99999', 'vsock:x', 'vsock:3:4', 'udp:a:1'])
    t.throws(() => parseServeAddress(wrong), UsageError, wrong)
  const both = await collect(cpu(t, '-srv', 'unix:/tmp/s', 'host'))
  t.equal(both.code, 2)
  t.match(both.stderr, 'is a host')
  const missing = await collect(cpu(t, '-srv', 'tcp:127.0.0.1:0', '-root', '/nonexistent'))
  t.equal(missing.code, 255)
  t.match(missing.stderr, 'ENOENT')
})
