// The main job on the devices that users have: KVM and vhost-vsock, emulated in the nested lab.
import t from 'tap'
import { startNestedLab } from '../../scripts/nested-lab.js'
import { cpu } from '../fixtures/cpu-command.js'
import { privateRuntime } from '../qemu/private-runtime.js'

t.test('the main job over vhost-vsock, with KVM', async t => {
  privateRuntime(t)
  await using lab = await startNestedLab({ onMessage: line => t.comment(line) })
  const [host, ...command] = lab.cpuArguments([process.execPath, 'dist/test/fixtures/main-job-nested.js'], {
    TAP_TIMEOUT: '1200',
  })
  const { code, stdout, stderr } = await cpu({ flags: [], host: host!, env: {} }, command, {
    timeoutMs: 1_200_000,
  })
  t.comment(stdout.toString())
  t.equal(code, 0, stderr)
  t.match(stdout.toString(), /^ok 1 - the main job over vhost-vsock, with KVM/m)
})
