// Which transport a machine gets, on this host as it is and with kernels that lack something.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { describeMachine } from '../../qemu/dry-run.js'
import type { Kernel } from '../../qemu/kernel.js'
import type { KernelFeatures } from '../../qemu/kernel-config.js'
import { probeVhostVsock } from '../../qemu/probe.js'
import { chooseTransports, type Net } from '../../qemu/transports.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'
import { realKernel } from './real-kernel.js'

const NOTHING = { vsock: false, vhostUserVsock: undefined, tcp: false, serial: false }

/** What is chosen for a kernel, and what is said of it. */
async function choose(net: Net, lacks: readonly (keyof KernelFeatures)[] = []) {
  const kernel = await realKernel()
  const absent = Object.fromEntries(lacks.map(feature => [feature, 'absent']))
  const lines: string[] = []
  const without: Kernel = { ...kernel, release: 'R', features: { ...kernel.features, ...absent } }
  return { chosen: chooseTransports(net, without, line => lines.push(line)), lines }
}

/** Sets $PATH until the test ends. */
function setPath(t: Test, path: string): void {
  const before = process.env['PATH']
  process.env['PATH'] = path
  t.teardown(() => {
    process.env['PATH'] = before
  })
}

t.test('kernels that lack something go down the ladder, which is said in one line', async t => {
  t.match(await choose('auto', ['vsock']), {
    chosen: { ...NOTHING, tcp: true },
    lines: ['using TCP instead of vsock: kernel R has no vsock'],
  })
  t.match(await choose('auto', ['vsock', 'virtio-net']), {
    chosen: { ...NOTHING, serial: true },
    lines: ['using virtio-serial instead of TCP: kernel R has no vsock, and kernel R has no virtio_net'],
  })
  t.match(await choose('both', ['vsock', 'virtio-net']), { chosen: { ...NOTHING, tcp: true } })
})

t.test('vhost-device-vsock stands in where the host has no vhost-vsock', async t => {
  const directory = temporaryDirectory(t)
  const program = join(directory, 'vhost-device-vsock')
  writeFileSync(program, '', { mode: 0o755 })
  setPath(t, `${directory}:${process.env['PATH']}`)
  const { works, reason } = probeVhostVsock()
  const best = works ? { vsock: true } : { vhostUserVsock: program }
  const lines = works ? [] : [`using vhost-device-vsock instead of vhost-vsock: ${reason}`]
  t.strictSame(await choose('auto'), { chosen: { ...NOTHING, ...best }, lines })
  t.strictSame(await choose('both'), { chosen: { ...NOTHING, ...best, tcp: true }, lines })
  t.strictSame((await choose('vhost-user')).chosen, { ...NOTHING, vhostUserVsock: program })
  t.match((await choose('auto', ['vsock'])).chosen, { tcp: true })

  const shown = (await describeMachine({ name: 'v', net: 'vhost-user', accel: 'tcg' })).split('\n')
  t.match(
    shown[0],
    /vhost-device-vsock --guest-cid=3 --socket=\S+\/v\/vhost\.sock --uds-path=\S+\/v\/vsock\.sock$/,
  )
  t.match(shown[1], /memory-backend-memfd.* -device vhost-user-vsock-pci,chardev=vsock/)
})

t.test('what is asked for and does not work', async t => {
  setPath(t, '/nonexistent')
  await t.rejects(choose('vhost-user'), {
    code: 'ERR_CPU_VM_VSOCK',
    message: 'vhost-user does not work here: vhost-device-vsock is not installed',
    remedy: /^install vhost-device-vsock; or use -net tcp$/,
  })
  await t.rejects(choose('vsock', ['vsock']), {
    code: 'ERR_CPU_VM_VSOCK',
    message: 'vsock does not work here: kernel R has no vsock',
  })
  await t.rejects(choose('serial', ['virtio-serial']), { code: 'ERR_CPU_VM_SERIAL' })
  t.strictSame((await choose('none')).chosen, NOTHING)
})
