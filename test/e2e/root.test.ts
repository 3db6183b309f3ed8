// Guests with a root file system of this machine's: they have all of it, and change nothing.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { copyFile } from 'node:fs/promises'
import path from 'node:path'
import t from 'tap'
import { sharedLibraries } from '../../qemu/libraries.js'
import { cpuVm } from '../fixtures/cpu-vm-command.js'
import { startGuest } from '../fixtures/guest.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'
import { privateRuntime } from '../qemu/private-runtime.js'
import { realKernel } from '../qemu/real-kernel.js'

t.test('/ by virtiofs', async t => {
  const { image: kernel, release } = await realKernel()
  const directory = temporaryDirectory(t)
  const at = (name: string) => path.join(directory, name)
  writeFileSync(at('mine'), 'mine\n')
  mkdirSync(at('shared'))
  mkdirSync(at('there'))
  const shares = [{ tag: 'src', hostPath: at('shared') }]
  const { machine: vm } = await startGuest(t, { kernel, root: { type: 'virtiofs' }, shares })
  const run = (script: string, options = {}) => vm.run(['sh', '-c', script], { cwd: directory, ...options })

  const whole = 'uname -r; stat -f -c %T /; cat mine; perl -e "print 6 * 7"; ls /cpu-harness/node; exit 7'
  t.match(await run(whole), {
    exitCode: 7,
    stdout: `${release}\noverlayfs\nmine\n42`,
    stderr: /cannot access '\/cpu-harness\/node'/,
  })
  t.match(await run('echo changed >mine; echo new >made; rm -r there; rm /etc/passwd'), {
    exitCode: 0,
    stderr: '',
  })
  t.match(
    await run('cat mine made; ls -d there /etc/passwd'),
    { stdout: 'changed\nnew\n' },
    'the machine keeps it',
  )
  t.strictSame(readdirSync(directory).sort(), ['mine', 'shared', 'there'], 'nothing is changed here')
  t.equal(readFileSync(at('mine'), 'utf8'), 'mine\n')
  t.ok(existsSync('/etc/passwd'))
  const own = 'cat /proc/1/comm; ls /run; test -c /dev/ttyS0 && unshare --user --map-root-user id -u'
  t.match(await run(own), { stdout: /^\S+\ninitctl\n0\n$/ }, "/proc, /dev and /run are the guest's own")

  const past = 'mount -t virtiofs cpu-root /mnt && mount -o remount,rw /mnt && cd /mnt'
  const evil = `${past}; for to in .${directory} dev/shm; do echo x >$to/evil; done; cat .${directory}/mine`
  t.match(
    await run(evil),
    { stdout: 'mine\n', stderr: /Read-only file system\n.*Read-only file system/s },
    'nor by going past it',
  )
  t.notOk(existsSync(at('evil')) || existsSync('/dev/shm/evil'))

  const fstab = `src ${at('shared')} virtiofs rw`
  t.match(await run(`echo real >${at('shared')}/file`, { fstab, cwd: '/' }), { exitCode: 0, stderr: '' })
  t.equal(readFileSync(at('shared/file'), 'utf8'), 'real\n', 'a share is the real thing')
  t.match(await run('echo real >mine; stat -f -c %T /usr', { namespace: '/etc' }), {
    exitCode: 0,
    stdout: 'overlayfs\n',
  })
  t.equal(
    readFileSync(at('mine'), 'utf8'),
    'real\n',
    'and so is the current directory, where files are asked for',
  )
})

t.test('a directory by 9P, as cpu-vm.toml says', async t => {
  privateRuntime(t)
  const { image: kernel } = await realKernel('backports/amd64')
  const project = temporaryDirectory(t)
  const tree = path.join(project, 'tree')
  for (const file of [...(await sharedLibraries(['/bin/sh'])), '/bin/sh']) {
    mkdirSync(path.join(tree, path.dirname(file)), { recursive: true })
    await copyFile(file, path.join(tree, file))
  }
  writeFileSync(path.join(tree, 'file'), 'of the tree\n')
  writeFileSync(path.join(project, 'cpu-vm.toml'), `kernel = "${kernel}"\nroot = "9p=tree"\n`)
  const script = 'read line </file; echo $line in $PWD; echo x >/made; test -e /made && exit 9'
  const { code, stdout, stderr } = await cpuVm(['run', '--', '/bin/sh', '-c', script], { cwd: project })
  t.equal(code, 9, stderr)
  t.equal(String(stdout), 'of the tree in /\n')
  t.notOk(existsSync(path.join(tree, 'made')))
})

t.test('what is started, and what cannot be', async t => {
  privateRuntime(t)
  const directory = temporaryDirectory(t)
  const dry = await cpuVm(['run', '-dry-run', '-root', 'virtiofs', '--', 'true'])
  t.match(String(dry.stdout), /source=\/ |--shared-dir=\/ /)
  t.match(String(dry.stdout), /tag=cpu-root/)
  t.match(String(dry.stdout), /\ncpu -files none NAME true\n$/)
  const matrix = path.join(directory, 'matrix.toml')
  writeFileSync(matrix, '[machine]\nroot = "9p=."\n[[test]]\nname = "t"\ncommand = "true"\n')
  const planned = await cpuVm(['test', '-dry-run', matrix])
  t.match(String(planned.stdout), `path=${directory},security_model=none,readonly=on,multidevs=remap`)
  const { image: lean } = await realKernel('cloud-amd64')
  for (const [args, code, says] of [
    [['-root', 'nfs'], 2, /invalid root "nfs" \(write -root virtiofs or -root 9p/],
    [['-root', '9p=/no/such'], 2, /no such directory for a root: \/no\/such/],
    [['-root', 'virtiofs', '-share', 'cpu-root=/tmp'], 2, /the share tag cpu-root is that of -root/],
    [
      ['-root', '9p', '-kernel', lean],
      125,
      /has no 9P over virtio \(build it with .*, or use -root virtiofs\)/,
    ],
  ] as const) {
    const result = await cpuVm(['run', ...args, '--', 'true'])
    t.equal(result.code, code, args.join(' '))
    t.match(result.stderr, says)
  }
})
