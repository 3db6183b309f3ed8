import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { VMADDR_CID_ANY, VMADDR_CID_LOCAL } from '../../src/linux/vsock.js'
import {
  connectVsock,
  createVsockServer,
  localCid,
  VsockServer,
  type VsockSocket,
} from '../../src/native/vsock.js'

// Connections that succeed need vsock_loopback: test/fixtures/vsock-echo.ts, run in a guest.

t.test('CID and port have 32 bits', async t => {
  const bad = [-1, 0x1_0000_0000, 1.5, Number.NaN]
  for (const value of bad) {
    const error = {
      code: 'ERR_CPU_VSOCK_ADDRESS',
      message: `not a vsock CID: ${value}`,
      remedy: /whole number/,
    }
    t.throws(() => connectVsock({ cid: value, port: 1 }), error)
    t.throws(() => connectVsock({ cid: 1, port: value }), { code: 'ERR_CPU_VSOCK_ADDRESS', message: /port/ })
    t.throws(() => new VsockServer().listen({ port: value }), { code: 'ERR_CPU_VSOCK_ADDRESS' })
  }
})

t.test('the local CID is a CID or absent', async t => {
  const cid = localCid()
  t.ok(cid === undefined || (existsSync('/dev/vsock') && cid < VMADDR_CID_ANY))
})

/** Waits for the failure of a connection that cannot succeed. */
async function failure(socket: VsockSocket): Promise<NodeJS.ErrnoException> {
  const [error] = await once(socket, 'error')
  if (!socket.closed) await once(socket, 'close')
  return error
}

t.test('a connection to nowhere fails with an errno and the address', async t => {
  const socket = connectVsock({ cid: VMADDR_CID_LOCAL, port: 0xffff_fff0, timeoutMs: 50 })
  t.equal(socket.remoteAddress, 'vsock/1')
  t.equal(socket.remotePort, 0xffff_fff0)
  socket.write('waits for the connection')
  const error = await failure(socket)
  t.match(error.code, /^(ETIMEDOUT|ENODEV|ECONNRESET|ECONNREFUSED)$/)
  t.equal(error.syscall, 'connect')
  t.match(error.message, /, connect vsock\/1:4294967280$/)
  t.notOk(socket.connecting)
  t.equal(socket.localPort, undefined)
})

t.test('an address that no transport has fails at once', async t => {
  // CID_ANY is nobody's address.
  const error = await failure(connectVsock({ cid: VMADDR_CID_ANY, port: 1 }))
  t.ok(error.code)
  t.match(error.message, /connect vsock\/4294967295:1$/)
})

t.test('destroy while connecting', async t => {
  const socket = connectVsock({ cid: VMADDR_CID_LOCAL, port: 1, timeoutMs: 60_000 })
  const written = new Promise(resolve => socket.write('x', resolve))
  socket.on('connect', () => t.fail('connected'))
  socket.destroy()
  await once(socket, 'close')
  t.match(await written, { code: /ECANCELED|ERR_STREAM_DESTROYED/ })
})

t.test('abort while connecting, and before', async t => {
  const controller = new AbortController()
  const { signal } = controller
  const socket = connectVsock({ cid: VMADDR_CID_LOCAL, port: 1, timeoutMs: 60_000, signal })
  controller.abort()
  t.match(await failure(socket), { name: 'AbortError', code: 'ABORT_ERR' })
  t.match(await failure(connectVsock({ cid: VMADDR_CID_LOCAL, port: 1, signal })), { name: 'AbortError' })
})

t.test('a server listens, tells its address and closes', async t => {
  const server = createVsockServer(() => {})
  t.equal(server.address(), undefined)
  await once(server.listen({ port: 0xffff_fff0 }), 'listening')
  t.ok(server.listening)
  t.same(server.address(), { cid: VMADDR_CID_ANY, port: 0xffff_fff0 })
  t.throws(() => server.listen({ port: 1 }), { code: 'ERR_CPU_VSOCK_LISTENING' })

  const second = createVsockServer({ allowHalfOpen: true })
  const [error] = await once(second.listen({ port: 0xffff_fff0 }), 'error')
  t.match(error, {
    code: 'EADDRINUSE',
    syscall: 'listen',
    message: 'EADDRINUSE: address already in use, listen vsock/4294967295:4294967280',
  })

  await new Promise<void>(resolve => server.close(resolve))
  t.notOk(server.listening)
  // The port is free again as soon as close() returns.
  await once(second.listen({ port: 0xffff_fff0 }), 'listening')
  await new Promise<void>(resolve => second.close(resolve))
})

t.test('port any picks a free one', async t => {
  const server = createVsockServer().unref()
  await new Promise<void>(resolve => server.listen({}, resolve))
  const port = server.address()!.port
  t.ok(port > 0 && port < VMADDR_CID_ANY, `${port}`)
  server.close()
  await once(server, 'close')
})

t.test('a worker that ends frees its port and its connection attempts', async t => {
  const port = 0xffff_ff00
  const url = new URL('../../src/native/vsock.js', import.meta.url)
  for (let round = 0; round < 3; round++) {
    const worker = new Worker(
      `const { parentPort } = require('node:worker_threads')
       import(${JSON.stringify(url.href)}).then(({ connectVsock, createVsockServer }) => {
         connectVsock({ cid: 1, port: 1, timeoutMs: 60000 }).on('error', () => {})
         createVsockServer().listen({ port: ${port} }, () => parentPort.postMessage('listens'))
       })`,
      { eval: true },
    )
    await once(worker, 'message')
    await worker.terminate()
  }
  const server = createVsockServer()
  await once(server.listen({ port }), 'listening')
  await new Promise<void>(resolve => server.close(resolve))
  t.pass()
})
