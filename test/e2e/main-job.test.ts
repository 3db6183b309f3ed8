import { spawn } from 'node:child_process'
import path from 'node:path'
import t from 'tap'
import { probeKvm, probeVhostVsock } from '../../qemu/probe.js'
import { packageRoot } from '../../src/version.js'
import { cleanEnvironment } from '../fixtures/clean-environment.js'
import { collect } from '../fixtures/cpu-command.js'
import { mainJob } from '../fixtures/main-job.js'

t.test('the main job with what this machine has', async t => {
  await mainJob(t, { kvm: (await probeKvm()).works, vsock: probeVhostVsock().works })
})

t.test('cpu-vm run: a machine for one command, whose exit code comes through', async t => {
  const script = path.join(packageRoot(), 'dist/bundle/cpu-vm.cjs')
  const child = spawn(process.execPath, [script, 'run', '--', 'sh', '-c', 'uname -s; exit 17'], {
    cwd: '/',
    env: cleanEnvironment(),
  })
  const { code, stdout, stderr } = await collect(child, { input: '' })
  t.same([code, stdout.toString()], [17, 'Linux\n'], stderr)
})
