// What needs a machine with working vsock: in the nested lab's outer guest, which has this project in it.
import fs from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { startNestedLab } from '../../scripts/nested-lab.js'
import { cpu } from '../fixtures/cpu-command.js'
import { privateRuntime } from '../qemu/private-runtime.js'

privateRuntime(t)
const lab = await startNestedLab({ onMessage: line => t.comment(line) })
t.teardown(() => lab[Symbol.asyncDispose]())

/** Runs a test program there; what it prints is TAP, shown here as comments. */
async function passesThere(t: Test, program: string, args: string[] = []): Promise<void> {
  const script = path.join('dist/test/fixtures', program)
  const command = lab.command([process.execPath, script, ...args], { TAP_TIMEOUT: '1200' })
  const target = { flags: lab.flags, host: lab.outer.name, env: {} }
  const { code, stdout, stderr } = await cpu(target, command, { timeoutMs: 1_200_000 })
  const report = stdout.toString()
  t.comment(report)
  t.equal(code, 0, stderr)
  t.match(report, /^# \{ total: \d+, pass: \d+ \}$/m, 'everything passed')
}

t.test('the main job over vhost-vsock, with KVM', t => passesThere(t, 'main-job-nested.js'))

t.test('sessions over AF_VSOCK, through the loopback', async t => {
  const { directory, hostKey } = lab.outer
  fs.writeFileSync(path.join(directory, 'host.pub'), `${hostKey}\n`)
  const files = ['id_ed25519', 'host.pub'].map(name => lab.there(path.join(directory, name)))
  await passesThere(t, 'session-suite-vsock.js', [...files, lab.there(lab.fstabFile)])
})
