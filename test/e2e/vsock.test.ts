// AF_VSOCK for real: in a guest, through its own loopback (CID 1).
import fs from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { packageRoot } from '../../src/version.js'
import { CPU, cpu } from '../fixtures/cpu-command.js'
import { guestForFile } from '../fixtures/guest.js'

const guest = await guestForFile({ name: 'vsock', memoryMiB: 2048 })
const { directory, hostKey } = guest.machine
// The machine's directory, with the keys, is the current one there; this project is bound besides.
const run = (command: string[]) =>
  cpu(guest, command, { cwd: directory, flags: ['-namespace', `+${packageRoot()}`] })

t.test('sockets, servers, half-close, back-pressure, 32-bit ports', async t => {
  const { stdout, stderr, code } = await run([
    'node',
    path.join(packageRoot(), 'dist/test/fixtures/vsock-echo.js'),
  ])
  t.equal(code, 0, stderr)
  t.match(JSON.parse(stdout.toString()), { ok: true })
})

t.test('cpu -net vsock reaches the cpud of its own machine', async t => {
  fs.writeFileSync(path.join(directory, 'host.pub'), `${hostKey}\n`)
  const inner = ['node', CPU, '-net', 'vsock', '-9p=false', '-key', 'id_ed25519', '-hk', 'host.pub', '1']
  const known = await run([...inner, 'uname', '-n'])
  t.same([known.code, known.stdout.toString()], [127, ''], 'without files there are no programs')
  const listed = await run([...inner, '/cpu-harness/node', '-p', 'os.hostname()'])
  t.same([listed.code, listed.stdout.toString()], [0, 'vsock\n'], listed.stderr)
  const code = await run([...inner, '/cpu-harness/node', '-e', 'process.exit(33)'])
  t.equal(code.code, 33, code.stderr)
})

t.test('over vsock the files go past ssh, straight from kernel to client', async t => {
  const inner = ['node', CPU, '-v', '-net', 'vsock', '-key', 'id_ed25519', '-hk', 'host.pub', '1']
  const { code, stdout, stderr } = await run([...inner, 'cat', 'host.pub'])
  t.same([code, stdout.toString()], [0, `${hostKey}\n`], stderr)
  t.match(stderr, /the other side has our files, by FUSE, directly from vsock\/1:17010/)
})
