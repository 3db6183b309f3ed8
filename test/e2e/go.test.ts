// u-root's Go programs, played, where the files are mounted by 9P: what test/interop/ cannot have on this machine.
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import t from 'tap'
import { packageRoot } from '../../src/version.js'
import { cpu } from '../fixtures/cpu-command.js'
import { GoCpu } from '../fixtures/go-cpu.js'
import { guestForFile } from '../fixtures/guest.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const guest = await guestForFile({ name: 'go', net: 'tcp', memoryMiB: 2048 })
const { directory, tcpPort } = guest.machine

/** The namespace of Go's client when nothing else is said, in its words. */
const FSTAB = ['/lib', '/lib64', '/usr', '/bin', '/etc', '/home']
  .map(name => `/tmp/cpu${name} ${name} none defaults,bind 0 0\n`)
  .join('')

t.test('Go’s client: its files are there', async t => {
  const stream = net.connect(tcpPort!, '127.0.0.1')
  const privateKey = fs.readFileSync(path.join(directory, 'id_ed25519'))
  const go = await GoCpu.dial(t, { stream, privateKey })
  const here = temporaryDirectory(t)
  fs.writeFileSync(path.join(here, 'file'), 'content\n')
  const variables = { PATH: process.env['PATH']!, PWD: here, USER: 'root', TMPDIR: '/tmp' }
  const env = { ...variables, CPU_FSTAB: FSTAB, LC_GLENDA_CPU_FSTAB: FSTAB }
  const run = (script: string, terminal?: { rows: number; columns: number }) =>
    go.run({ args: ['sh', '-c', script], env, root: '/', ...(terminal && { terminal }) })

  const seen = await run(`uname -n; cat file; echo written >made; mkdir -p a/b; mv made a/b/moved
    ln -s file link; cat link; ls; env | grep -c CPU; exit 7`)
  t.same(seen, { code: 7, stdout: 'go\ncontent\ncontent\na\nfile\nlink\n0\n', stderr: '' })
  t.equal(fs.readFileSync(path.join(here, 'a/b/moved'), 'utf8'), 'written\n')
  t.equal(fs.readlinkSync(path.join(here, 'link')), 'file')

  const onTerminal = await run('stty size; cat file; exit 3', { rows: 33, columns: 77 })
  t.match(onTerminal, { code: 3, stdout: '33 77\r\ncontent\r\n' })
  t.equal((await run('no-such-command')).code, 127)
})

t.test('Go’s server, in the guest', async t => {
  const inGuest = path.join(packageRoot(), 'dist/test/fixtures/go-cpud-in-guest.js')
  const flags = ['-namespace', `+${packageRoot()}`]
  const limited = ['env', 'TAP_TIMEOUT=500', 'node', inGuest]
  const { code, stdout, stderr } = await cpu(guest, limited, { cwd: directory, flags })
  t.equal(code, 0, `${stdout}${stderr}`)
})
