// AF_VSOCK for real: in a guest, through its own loopback (CID 1).
import path from 'node:path'
import t from 'tap'
import { packageRoot } from '../../src/version.js'
import { cpu } from '../fixtures/cpu-command.js'
import { guestForFile } from '../fixtures/guest.js'

const guest = await guestForFile({ name: 'vsock', memoryMiB: 2048 })
const run = (command: string[]) => cpu(guest, command, { cwd: packageRoot() })

t.test('sockets, servers, half-close, back-pressure, 32-bit ports', async t => {
  const { stdout, stderr, code } = await run(['node', 'dist/test/fixtures/vsock-echo.js'])
  t.equal(code, 0, stderr)
  t.match(JSON.parse(stdout.toString()), { ok: true })
})

t.test('cpu -net vsock reaches the cpud of its own machine', async t => {
  const { directory } = guest.machine
  const inner = ['dist/bundle/cpu.cjs', '-net', 'vsock', '-9p=false', '-key', path.join(directory, 'id_ed25519')]
  const uname = ['uname', '-n']
  const known = await run(['node', ...inner, '-hk', path.join(directory, 'host.pub'), '1', ...uname])
  t.same([known.code, known.stdout.toString()], [0, 'vsock\n'], known.stderr)
  const code = await run(['node', ...inner, '-hk', path.join(directory, 'host.pub'), '1', 'sh', '-c', 'exit 33'])
  t.equal(code.code, 33, code.stderr)
})
