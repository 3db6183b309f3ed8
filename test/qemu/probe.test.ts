import { existsSync } from 'node:fs'
import t from 'tap'
import { probeKvm, probeVhostVsock, probeVirtiofsd, qemuVersion, runProbeGuest } from '../../qemu/probe.js'

t.test('the guest of the probe really runs: with TCG it always does', async t => {
  t.strictSame(await runProbeGuest(['-accel', 'tcg']), { works: true, reason: '' })
})

t.test('a QEMU that does not start gives its reason', async t => {
  const { works, reason } = await runProbeGuest(['-accel', 'nosuch'])
  t.notOk(works)
  t.match(reason, /nosuch/)
})

t.test('without QEMU the answer is not remembered', async t => {
  const path = process.env['PATH']
  t.teardown(() => {
    process.env['PATH'] = path
  })
  process.env['PATH'] = '/nowhere'
  t.strictSame(await runProbeGuest(['-accel', 'tcg']), {
    works: false,
    reason: 'qemu-system-x86_64 is not installed',
    isPassing: true,
  })
})

t.test('KVM, whatever it is here: an answer with a reason, the same when asked again', async t => {
  const first = await probeKvm({ fresh: true })
  t.equal(first.works, first.reason === '')
  t.strictSame(await probeKvm(), first)
})

t.test('vhost-vsock', t => {
  const { works, reason } = probeVhostVsock()
  if (!existsSync('/dev/vhost-vsock')) t.equal(reason, 'there is no /dev/vhost-vsock')
  t.equal(works, reason === '')
  t.end()
})

t.test('virtiofsd comes up in one of its sandboxes', async t => {
  const { works, sandbox } = await probeVirtiofsd({ fresh: true })
  t.ok(works)
  t.match(sandbox, /^(namespace|chroot)$/)
})

t.test('version of QEMU', async t => {
  t.match(await qemuVersion(), /^\d+\.\d+/)
})
