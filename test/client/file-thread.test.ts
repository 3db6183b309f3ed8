// The file server in a thread of its own.
import fs from 'node:fs'
import type { Socket } from 'node:net'
import path from 'node:path'
import t, { type Test } from 'tap'
import { FileThread } from '../../src/client/file-thread.js'
import { connectUnix, FdStream, socketPair } from '../../src/native/fd-stream.js'
import { packageRoot } from '../../src/version.js'
import { collect } from '../fixtures/cpu-command.js'
import { NinepClient } from '../fixtures/ninep-client.js'
import { spawnAsUser } from '../fixtures/spawn-as-user.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const nonce = '0123456789abcdef'.repeat(2)
const common = { readOnly: false, protocols: ['9p'], cachePolicy: 'auto', forwardNonce: nonce } as const

/** A thread that serves a directory with one file. */
function startThread(t: Test, trace?: (line: string) => void) {
  const root = temporaryDirectory(t)
  fs.writeFileSync(path.join(root, 'file'), 'content')
  const thread = new FileThread({ root, ...common }, trace)
  t.teardown(() => thread.close())
  return thread
}

function connect(t: Test, thread: FileThread, nonce: string): FdStream {
  const [ours, theirs] = socketPair()
  const stream = new FdStream(ours)
  t.teardown(() => stream.destroy())
  thread.admit(new FdStream(theirs))
  stream.write(nonce)
  return stream
}

function closed(stream: FdStream): Promise<unknown> {
  stream.resume()
  return new Promise(resolve => stream.once('close', resolve))
}

t.test('serves the first that brings the nonce, and no other', async t => {
  const lines: string[] = []
  const thread = startThread(t, line => lines.push(line))
  t.equal(await thread.ready, undefined, 'nobody is awaited past ssh')
  await closed(connect(t, thread, 'f'.repeat(32)))
  await closed(connect(t, thread, nonce.replace('0', 'x')))
  const client = new NinepClient(connect(t, thread, nonce) as unknown as Socket)
  await client.start()
  t.same(await thread.taken, { by: 'forward', protocol: '9p' })
  const root = await client.attach()
  t.equal(String(await client.read(await client.open(root, 'file', 0))), 'content')
  await closed(connect(t, thread, nonce))
  t.match(lines, [/^9p: > Tversion/, /^9p: < Rversion/, /^9p: > Tattach/])
  await thread.close()
  await client.closed
})

t.test('a protocol by which nothing is served is refused, and named', async t => {
  const thread = new FileThread({ root: temporaryDirectory(t), ...common, protocols: ['fuse'] })
  t.teardown(() => thread.close())
  await thread.ready
  const client = new NinepClient(connect(t, thread, nonce) as unknown as Socket)
  await t.rejects(client.start())
  await t.rejects(thread.taken, {
    code: 'ERR_CPU_FILES',
    message: 'the other side takes files by 9P, and -files fuse does not allow it',
    remedy: 'leave out -files fuse',
  })
})

t.test('past ssh, by a unix socket that is there for one', async t => {
  const root = temporaryDirectory(t)
  fs.writeFileSync(path.join(root, 'file'), 'content')
  const directNonce = 'd'.repeat(32)
  const thread = new FileThread({ root, ...common, direct: { from: 'here', nonce: directNonce } })
  t.teardown(() => thread.close())
  const socketPath = String(await thread.ready)
  const connectDirectly = (nonce: string) => {
    const stream = new FdStream(connectUnix(socketPath))
    t.teardown(() => stream.destroy())
    stream.write(nonce)
    return stream
  }
  t.equal(fs.statSync(path.dirname(socketPath)).mode & 0o777, 0o700)
  await closed(connectDirectly(nonce))
  const client = new NinepClient(connectDirectly(directNonce) as unknown as Socket)
  await client.start()
  t.same(await thread.taken, { by: 'direct', protocol: '9p' })
  t.throws(() => connectUnix(socketPath), { code: 'ENOENT' })
  const opened = await client.open(await client.attach(), 'file', 0)
  t.equal(String(await client.read(opened)), 'content')
})

t.test('a root that cannot be served', async t => {
  const thread = new FileThread({ root: '/nonexistent', ...common })
  const failure = {
    code: 'ERR_CPU_FILES',
    message: 'cannot serve /nonexistent: ENOENT: no such file or directory, open /nonexistent',
  }
  await t.rejects(thread.ready, failure)
  await t.rejects(thread.taken, failure)
})

t.test('a file system that hangs holds up neither the main thread nor the end of the process', async t => {
  const root = temporaryDirectory(t)
  fs.mkdirSync(path.join(root, 'hung'))
  fs.writeFileSync(path.join(root, 'file'), '')
  const script = path.join(packageRoot(), 'dist/test/fixtures/hung-files.js')
  const child = spawnAsUser(process.execPath, [script, root], { stdio: ['ignore', 'pipe', 'pipe'] })
  const { code, stdout, stderr } = await collect(child, { timeoutMs: 60_000 })
  t.same([code, stdout.toString()], [7, '{"hangs":true}\n'], stderr)
})
