// What this machine can do: whatever that is, each line has its remedy.
import { chmodSync, chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { cacheDirectory } from '../../qemu/cache.js'
import { accessRemedy, kvmModule } from '../../qemu/device-access.js'
import { canStart, type Finding } from '../../qemu/index.js'
import { collect } from '../fixtures/cpu-command.js'
import { CPU_VM, cpuVm } from '../fixtures/cpu-vm-command.js'
import { userId } from '../fixtures/rootless.js'
import { spawnAsUser } from '../fixtures/spawn-as-user.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'
import { realKernel } from './real-kernel.js'

t.test('a device that is closed to the user', async t => {
  const groupFile = 'root:x:0:\nkvm:x:104:anna,bert\nusers:x:100:\n'
  const remedy = (mode: number, gid: number, name: string, groups: number[] = []) =>
    accessRemedy('/dev/kvm', { mode, gid }, { name, groups, groupFile })
  t.equal(remedy(0o20660, 104, 'carl'), 'as root: usermod -aG kvm carl; then log in again')
  t.match(remedy(0o20660, 104, 'bert'), /^log in again: .*the group kvm$/)
  const closed = 'as root: chgrp kvm /dev/kvm; chmod 660 /dev/kvm; usermod -aG kvm anna; then log in again'
  t.equal(remedy(0o20600, 104, 'anna'), closed, 'the group may not use it')
  t.equal(remedy(0o20660, 0, 'anna'), closed, 'nobody should be in the group root')
  t.equal(remedy(0o20640, 104, 'anna', [104]), closed)
})

t.test('the module of KVM is that of the processor', async t => {
  t.equal(kvmModule('processor\t: 0\nflags\t\t: fpu vmx sse\n'), 'kvm_intel')
  t.equal(kvmModule('flags\t\t: fpu svm\n'), 'kvm_amd')
  t.equal(kvmModule('flags\t\t: fpu svmx\n'), undefined)
})

const SUBJECTS = [
  'QEMU',
  'KVM',
  'vsock',
  'vhost-user',
  'TCP',
  'serial',
  'permissions',
  'modules',
  'virtiofsd',
  'memory',
  'cache',
  'machines',
  'kernel',
  'aarch64',
  'apt',
  'tools',
  'ssh keys',
]

async function doctor(t: Test, env: Record<string, string>, user = 0) {
  const child = spawnAsUser(process.execPath, [CPU_VM, 'doctor', '-json'], {
    env,
    uid: user,
    gid: user,
    cwd: '/',
  })
  const { code, stdout, stderr } = await collect(child, { input: '' })
  const findings: Finding[] = JSON.parse(stdout.toString())
  t.strictSame(
    findings.map(({ subject }) => subject),
    SUBJECTS,
    stderr,
  )
  for (const { subject, works, text, remedy } of findings) {
    t.notMatch(text, /\n|^$/, subject)
    t.equal((remedy ?? '') === '', works, `${subject}: a remedy where it does not work, and only there`)
  }
  t.equal(code, canStart(findings) ? 0 : 125)
  return new Map(findings.map(finding => [finding.subject, finding]))
}

t.test('as root', async t => {
  const { release } = await realKernel()
  const home = temporaryDirectory(t)
  mkdirSync(join(home, '.ssh'))
  writeFileSync(join(home, '.ssh/id_rsa.pub'), '')
  const found = await doctor(t, {
    HOME: home,
    XDG_CACHE_HOME: dirname(cacheDirectory()),
  })
  t.match(found.get('kernel'), {
    works: true,
    required: true,
    text: new RegExp(release.replaceAll('.', '\\.')),
  })
  const { release: armRelease } = await realKernel('arm64')
  t.match(found.get('aarch64'), { works: true, text: new RegExp(`QEMU \\d.*; .*${armRelease}`) })
  t.match(found.get('ssh keys'), { works: true, text: join(home, '.ssh/id_rsa.pub') })
  t.match(found.get('cache'), { works: true })
  t.match((await cpuVm(['doctor'])).stdout.toString(), /^QEMU +ok +\d/)
})

t.test('as somebody with an empty cache in a place that is not his', async t => {
  const directory = temporaryDirectory(t)
  chmodSync(directory, 0o755)
  const runtime = join(directory, 'run')
  mkdirSync(runtime)
  chownSync(runtime, userId, userId)
  const places = {
    HOME: directory,
    XDG_CACHE_HOME: directory,
    XDG_RUNTIME_DIR: runtime,
    PATH: '/bin:/usr/bin',
  }
  const found = await doctor(t, places, userId)
  t.match(found.get('kernel'), { works: false, required: true, remedy: /cpu-vm kernel -fetch amd64/ })
  t.match(found.get('aarch64'), { works: false, remedy: /cpu-vm kernel -fetch arm64/ })
  t.match(found.get('cache'), { works: false, text: /not yours to write to/, remedy: /XDG_CACHE_HOME/ })
  t.match(found.get('machines'), { works: true })
  t.match(found.get('ssh keys'), { works: false, remedy: /ssh-keygen/ })
  if (existsSync('/dev/kvm'))
    t.match(
      [found.get('KVM')?.text, found.get('permissions')?.text].join(),
      /a guest runs|fails|EACCES.*\/dev\/kvm: closed/s,
    )
})
