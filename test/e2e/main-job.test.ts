import path from 'node:path'
import t from 'tap'
import { probeKvm, probeVhostVsock } from '../../qemu/probe.js'
import { packageRoot } from '../../src/version.js'
import { collect } from '../fixtures/cpu-command.js'
import { mainJob } from '../fixtures/main-job.js'
import { spawnAsUser } from '../fixtures/spawn-as-user.js'

t.test('the main job with what this machine has', async t => {
  await mainJob(t, { kvm: (await probeKvm()).works, vsock: probeVhostVsock().works })
})

t.test('cpu-vm run: a machine for one command, whose exit code comes through', async t => {
  const script = path.join(packageRoot(), 'dist/bundle/cpu-vm.cjs')
  const child = spawnAsUser(process.execPath, [script, 'run', '--', 'sh', '-c', 'uname -s; exit 17'], {
    cwd: '/',
  })
  const { code, stdout, stderr } = await collect(child, { input: '' })
  t.same([code, stdout.toString()], [17, 'Linux\n'], stderr)
})
