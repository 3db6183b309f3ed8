// A guest of another architecture than this machine's: its own kernel, Node and addon, the user's files, and programs for
// that architecture from a root of the user's.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { foreignParts } from '../../qemu/foreign-parts.js'
import { packageRoot } from '../../src/version.js'
import { CPU, cpu } from '../fixtures/cpu-command.js'
import { cpuVm } from '../fixtures/cpu-vm-command.js'
import { guestForFile } from '../fixtures/guest.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'
import { realKernel } from '../qemu/real-kernel.js'

const { release } = await realKernel('arm64')
const parts = await foreignParts('aarch64')
const shared = temporaryDirectory(t)
fs.writeFileSync(path.join(shared, 'name'), 'what is shared')
const guest = await guestForFile({
  name: 'arm',
  arch: 'aarch64',
  shares: [{ tag: 'src', hostPath: shared, readOnly: true }],
})
const { directory, hostKey } = guest.machine

t.test('it is another machine, and its programs are its own', async t => {
  const { code, stdout, stderr } = await cpu(guest, ['uname', '-m'])
  t.same([code, stdout.toString()], [0, 'aarch64\n'], stderr)
  const { code: exitCode } = await cpu(guest, ['sh', '-c', 'exit 17'])
  t.equal(exitCode, 17)
  const killed = await cpu(guest, ['sh', '-c', 'kill -9 $$'])
  t.equal(killed.code, 137)
  const missing = await cpu(guest, ['no-such-program'])
  t.equal(missing.code, 127)

  const applets = await cpu(guest, ['sh', '-c', 'busybox --list; echo; cd /bin; ls'])
  const [known = '', linked = ''] = applets.stdout.toString().split('\n\n')
  const names = linked.trim().split('\n')
  t.ok(names.includes('ls'))
  t.same(
    names.filter(name => !known.split('\n').includes(name)),
    [],
    'every link is an applet of this busybox',
  )
})

t.test("the user's shell is the guest's, and his files are there", async t => {
  const here = temporaryDirectory(t)
  fs.writeFileSync(path.join(here, 'name'), 'what is here')
  const env = { SHELL: '/bin/bash' }
  const { code, stdout, stderr } = await cpu(guest, [], {
    cwd: here,
    env,
    input: 'cat name; echo there > new',
  })
  t.same([code, stdout.toString()], [0, 'what is here'], stderr)
  t.equal(fs.readFileSync(path.join(here, 'new'), 'utf8'), 'there\n')
})

t.test('a share', async t => {
  const fstab = path.join(temporaryDirectory(t), 'fstab')
  fs.writeFileSync(fstab, 'src /mnt virtiofs ro\n')
  const { code, stdout, stderr } = await cpu(guest, ['cat', '/mnt/name'], { flags: ['-fstab', fstab] })
  t.same([code, stdout.toString()], [0, 'what is shared'], stderr)
})

const program = path.join(temporaryDirectory(t), 'open-flags')
const source = path.join(packageRoot(), 'test/fixtures/open-flags.c')
execFileSync('aarch64-linux-gnu-gcc', ['-O1', '-Wall', '-Wextra', '-Werror', '-o', program, source])
execFileSync('gcc', ['-O1', '-o', `${program}-here`, source])
// Linked with the C library of an unpacked root, which has it in /lib.
const root = path.dirname(path.dirname(parts.busybox))
const namespace = `/lib=${root}/lib:/opt/arm=${path.dirname(program)}`

for (const [how, flags] of [
  ['FUSE', ['-files', 'fuse']],
  ['FUSE, asked about everything', ['-files', 'fuse', '-cache', 'strict']],
  ['9P', ['-files', '9p']],
] as const) {
  t.test(`by ${how}, an arm64 program sees of files what one for this machine does here`, async t => {
    const [here, there] = [temporaryDirectory(t), temporaryDirectory(t)]
    const expected = execFileSync(`${program}-here`, [here], { encoding: 'utf8' })
    const command = ['/opt/arm/open-flags', there]
    const { code, stdout, stderr } = await cpu(guest, command, {
      cwd: there,
      flags: [...flags, '-namespace', namespace],
    })
    t.same([code, stdout.toString()], [0, expected], stderr)
    const moved = path.join(there, 'directory/moved')
    t.match(fs.statSync(moved), { size: 0, mode: 0o100644, uid: process.getuid?.() })
    t.equal(fs.readlinkSync(path.join(there, 'link')), 'file')
  })
}

t.test('AF_VSOCK by its own loopback, with the addon for that architecture', async t => {
  fs.writeFileSync(path.join(directory, 'host.pub'), `${hostKey}\n`)
  const inner = [
    'env',
    'CPU_HARNESS_ADDON=/cpu-harness/cpu_harness.node',
    '/cpu-harness/node',
    CPU,
    '-v',
    '-net',
    'vsock',
    '-key',
    'id_ed25519',
    '-hk',
    'host.pub',
    '1',
  ]
  const { code, stdout, stderr } = await cpu(guest, [...inner, 'cat', 'host.pub'], {
    cwd: directory,
    flags: ['-namespace', packageRoot()],
  })
  t.same([code, stdout.toString()], [0, `${hostKey}\n`], stderr)
  t.match(stderr, /the other side has our files, by FUSE, directly from vsock\/1:17010/)
})

t.test('what is asked for and cannot be is told in a line', async t => {
  const { image: x86 } = await realKernel()
  const refused = async (...flags: string[]) => {
    const { code, stderr } = await cpuVm(['run', '-dry-run', ...flags, '--', 'true'])
    t.not(code, 0)
    return stderr
  }
  t.match(await refused('-arch', 'aarch64', '-accel', 'kvm'), /KVM runs no guests of aarch64 on this machine/)
  t.match(await refused('-arch', 'aarch64', '-machine', 'q35'), /-machine q35 is not for guests of aarch64/)
  t.match(await refused('-arch', 'aarch64', '-nested'), /-nested is for guests of x86_64/)
  t.match(await refused('-machine', 'microvm', '-accel', 'tcg'), /-machine microvm needs KVM/)
  t.match(
    await refused('-arch', 'aarch64', '-kernel', x86),
    /kernel \S+ is for x86_64, and -arch aarch64 asks for another \(leave one of them out\)/,
  )
})

t.test('a kernel that is named says for which processor it is', async t => {
  const { stdout } = await cpuVm(['run', '-dry-run', '-kernel', release, '--', 'true'])
  t.match(stdout.toString(), /^qemu-system-aarch64 .* -machine virt,gic-version=3 /)
})

t.test('a panic ends it, as on any other', async t => {
  await cpu(guest, ['sh', '-c', 'echo c > /proc/sysrq-trigger'])
  const end = await guest.machine.exited
  t.match(end, { kind: 'panic', message: /Kernel panic - not syncing: sysrq triggered crash/ })
})
