// cpud as process 1 of a machine of one's own, made as docs/pid1.md says.
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { findKernel } from '../../qemu/index.js'
import { append, type Board, boardImage, boardImageByHand, startBoard } from '../fixtures/board.js'
import { cpu, startCpu } from '../fixtures/cpu-command.js'

const image = await boardImage(t, await findKernel())

async function said(board: Board, ...command: string[]): Promise<string> {
  const { stdout, stderr, code } = await cpu(board, command)
  if (code !== 0) throw new Error(`${command[0]}: ${code} ${stderr}`)
  return stdout.toString()
}

const sh = (board: Board, script: string) => said(board, 'bash', '-c', script)

t.test('an address by DHCP, sessions, a disk, and the end by a signal', async t => {
  const disk = path.join(image.directory, 'disk')
  execFileSync('mke2fs', ['-q', '-t', 'ext4', disk, '16M'])
  const board = await startBoard(t, image, {
    append: `loglevel=7 splash ip=dhcp modules_load=virtio_pci,virtio_net,virtio_blk,ext4,fuse,nope -- -sp 2222`,
    guestPort: 2222,
    disk,
  })
  t.ok(await board.says(/cpud: eth0 has 10\.0\.2\.15\/24, gateway 10\.0\.2\.2/), 'an address')
  const told = board.console()
  t.match(told, /cpud: splash, from the kernel's command line, is no flag/)
  t.match(told, /cpud: no kernel module nope in \/lib\/modules\/.* \(put it into the image/)
  t.match(told, /cpud: listening on \[::\]:2222/)
  t.ok(told.includes(`cpud: host key ${publicKey()}`), 'for whoever sees the console')

  t.equal(await said(board, 'uname', '-n'), 'board\n')
  t.match(
    await said(board, 'cat', '/proc/1/cmdline'),
    '/cpu-harness/node\0--snapshot-blob=/cpu-harness/cpud.blob\0/init\0',
  )
  t.equal(await said(board, 'cat', '/tmp/local/etc/resolv.conf'), 'nameserver 10.0.2.3\n')
  t.match(
    await said(board, 'cat', '/proc/net/route'),
    /^eth0\t00000000\t0202000A\t0003/m,
    'the default route',
  )
  await expectMounts(t, board)
  await writeToDisk(t, board)

  // Nothing but a signal, and a session that has files open on the disk and listens to none.
  const busy = startCpu(board, [
    'python3',
    '-c',
    `${ENTER_PID1}; open("/mnt/busy", "w").write("x"); print(flush=True); exec(STAY)`,
  ])
  await once(busy.stdout!, 'data')
  await cpu(board, ['sh', '-c', 'kill -USR2 1'])
  await board.ended
  busy.kill('SIGKILL')
  t.match(board.console(), /cpud: poweroff: ending.*reboot: Power down/s)
  t.notMatch(board.console(), /Kernel panic|left as it is/)
  const state = execFileSync('dumpe2fs', ['-h', disk], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  t.match(state, /Filesystem state: +clean/)
  t.notMatch(state, /needs_recovery/, 'it was unmounted')
  t.equal(execFileSync('debugfs', ['-R', 'cat /kept', disk], { encoding: 'utf8', stdio: 'pipe' }), 'kept')
})

function publicKey(): string {
  return fs.readFileSync(path.join(image.directory, 'board.pub'), 'utf8').split(' ').slice(0, 2).join(' ')
}

async function expectMounts(t: Test, board: Board): Promise<void> {
  const mounts = (await said(board, 'cat', '/proc/1/mounts')).split('\n').map(line => line.split(' '))
  const closed = ['nosuid', 'nodev', 'noexec']
  const expected: [target: string, type: string, options: string[]][] = [
    ['/proc', 'proc', closed],
    ['/sys', 'sysfs', closed],
    ['/dev', 'devtmpfs', ['nosuid', 'mode=755']],
    ['/dev/pts', 'devpts', ['nosuid', 'noexec', 'gid=5', 'mode=620', 'ptmxmode=666']],
    ['/dev/shm', 'tmpfs', ['nosuid', 'nodev']],
    ['/run', 'tmpfs', ['nosuid', 'nodev', 'mode=755']],
    ['/tmp', 'tmpfs', ['nosuid', 'nodev']],
    ['/sys/fs/cgroup', 'cgroup2', closed],
    ['/sys/kernel/debug', 'debugfs', closed],
    ['/sys/kernel/tracing', 'tracefs', closed],
    ['/sys/kernel/security', 'securityfs', closed],
    ['/sys/fs/bpf', 'bpf', [...closed, 'mode=700']],
  ]
  for (const [target, type, options] of expected) {
    const found = mounts.filter(mount => mount[1] === target)
    t.match(found, [[String, target, type]], target)
    for (const option of options) t.ok(found[0]?.[3]?.split(',').includes(option), `${target} ${option}`)
  }
}

/** In the mount namespace of process 1. */
const ENTER_PID1 = `import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
STAY = """
for number in range(1, 32):
  if number not in (9, 19): signal.signal(number, signal.SIG_IGN)
while True: signal.pause()
"""
assert libc.setns(os.open("/proc/1/ns/mnt", os.O_RDONLY), 0) == 0`

async function writeToDisk(t: Test, board: Board): Promise<void> {
  const script = `${ENTER_PID1}
assert libc.mount(b"/dev/vda", b"/mnt", b"ext4", 0, None) == 0, ctypes.get_errno()
open("/mnt/kept", "w").write("kept")`
  const { code, stderr } = await cpu(board, ['python3', '-c', script])
  t.equal(code, 0, stderr)
}

t.test('an image made by hand, a static address, and a restart', async t => {
  const board = await startBoard(t, await boardImageByHand(t, image.kernel), {
    append:
      'loglevel=7 modules_load=virtio_pci,virtio_net,fuse ip=10.0.2.15::10.0.2.2:255.255.255.0:fixed:eth0:off:10.0.2.3',
  })
  t.ok(await board.says(/cpud: listening/))
  t.equal(await sh(board, 'uname -n; cat /tmp/local/etc/resolv.conf'), 'fixed\nnameserver 10.0.2.3\n')
  // As the client's own reboot(8) asks for it, be it of sysvinit or systemd.
  const ask =
    'import struct; open("/run/initctl", "wb").write(struct.pack("=iiii368x", 0x03091969, 1, ord("6"), 0))'
  await cpu(board, ['python3', '-c', ask])
  await board.ended
  t.match(board.console(), /cpud: restart: ending.*reboot: Restarting system/s)
})

t.test('nobody who may log in: it says so, and ends without a panic', async t => {
  await append(image.archive, new Map([['etc/cpu/authorized_keys', '# nobody\n']]))
  const board = await startBoard(t, image, { append: 'panic=0' })
  await board.ended
  t.match(
    board.console(),
    /cpud: \/etc\/cpu\/authorized_keys holds no key that could log in.*cpud: cannot go on: poweroff.*reboot: Power down/s,
  )
  t.notMatch(board.console(), /Kernel panic/)
})
