// A cpud of an ordinary user in a guest with Debian's own kernel: what test/cpud/rootless.test.ts has of this machine's.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { packageRoot } from '../../src/version.js'
import { CPU, collect, cpu, eventually, startCpu, type Target } from '../fixtures/cpu-command.js'
import { guestForFile } from '../fixtures/guest.js'
import {
  giveSubordinateIds,
  guestUserId,
  guestVsockPort,
  reachUserCpud,
  startUserCpud,
} from '../fixtures/guest-user.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const guest = await guestForFile({ name: 'rootless' })

interface Place {
  readonly cpud: Target
  readonly here: string
  sh(script: string, flags?: readonly string[], env?: Record<string, string>): ReturnType<typeof cpu>
}

async function place(t: Test, at: string): Promise<Place> {
  const cpud = await reachUserCpud(t, guest, at)
  const here = temporaryDirectory(t)
  return {
    cpud,
    here,
    sh: (script, flags = [], env = {}) => cpu(cpud, ['sh', '-c', script], { cwd: here, flags, env }),
  }
}

/** Who he is there, and whose the files are. */
async function checkFiles(t: Test, { here, sh }: Place, id: number, shown: string): Promise<void> {
  fs.writeFileSync(path.join(here, 'own'), 'content\n')
  fs.writeFileSync(path.join(here, 'other'), '')
  fs.chownSync(path.join(here, 'other'), 1234, 1234)
  const { code, stdout, stderr } = await sh(`uname -n; pwd; id -u; tr -s ' ' </proc/self/uid_map
    cat own; stat -c '%u %g' own other /tmp/local/dev; echo written >made; exit 7`)
  t.same([code, stderr], [7, ''])
  const map = id === 0 ? [' 0 1000 1'] : [' 0 100000 1000', ' 1001 101000 64536', ' 1000 1000 1']
  const said = ['rootless', here, String(id), ...map, 'content', `${id} ${id}`, shown, '65534 65534', '']
  t.same(stdout.toString().split('\n'), said)
  t.equal(fs.readFileSync(path.join(here, 'made'), 'utf8'), 'written\n')
  t.equal(fs.statSync(path.join(here, 'made')).uid, process.geteuid!())
}

/** Whether `pattern` is the command line of a process there, seen by root, or PID 1 has a mount by FUSE. */
async function isAnyLeft(pattern: string): Promise<boolean> {
  const look = `grep -lsa '${pattern}' /proc/[0-9]*/cmdline; grep ' fuse ' /proc/1/mounts`
  return (await cpu(guest, ['sh', '-c', look])).stdout.length > 0
}

t.test('a user who is root in his sessions', async t => {
  const there = await place(t, '/run/root-inside')
  await checkFiles(t, there, 0, '65534 65534')

  await t.test('what takes root is refused by name', async t => {
    const fstab = 'proc /usr proc\nshare /lib 9p trans=virtio\ntmpfs /missing tmpfs\n'
    const { code, stderr } = await there.sh('true', [], { CPU_FSTAB: fstab })
    t.equal(code, 0)
    const needsRoot = '(needs root there: cpud runs as a user)'
    t.same(stderr.split('\n'), [
      `cpud: fstab:1: EPERM: operation not permitted, mount proc on /usr type proc ${needsRoot}`,
      `cpud: fstab:2: EPERM: operation not permitted, mount share on /lib type 9p ${needsRoot}`,
      'cpud: fstab:3: EACCES: permission denied, mkdir /missing (cpud runs as a user there; as root: mkdir -p /missing)',
      '',
    ])
    const ninep = await there.sh('true', ['-files', '9p'])
    t.match(ninep, { code: 255, stderr: /^cpud: cpud runs as an ordinary user here, who cannot mount 9P/ })
  })

  await t.test('nothing is left when the client dies', async t => {
    const token = `9${randomBytes(3).readUIntBE(0, 3)}.5`
    const command = ['sh', '-c', `setsid sleep ${token} & echo on; sleep ${token}`]
    const child = startCpu(there.cpud, command, { cwd: there.here })
    const ended = collect(child)
    await once(child.stdout!, 'data')
    const pattern = `^sleep.[9]${token.slice(1)}`
    t.ok(await isAnyLeft(pattern))
    child.kill('SIGKILL')
    await ended
    t.ok(await eventually(async () => !(await isAnyLeft(pattern)), 60_000, 1000))
  })
})

t.test('a user who is himself', async t => {
  await giveSubordinateIds(guest)
  await checkFiles(t, await place(t, '/run/himself'), guestUserId, '1234 1234')
})

t.test('over vsock his files go past ssh', async t => {
  const keys = await startUserCpud(t, guest, 'vsock', '/run/by-vsock')
  const client = ['node', CPU, '-v', '-files', 'fuse', '-net', 'vsock', '-sp', String(guestVsockPort)]
  const target = ['-key', 'key', '-hk', 'host.pub', '1']
  const script = 'stat -c %u key; cat host.pub'
  const { code, stdout, stderr } = await cpu(guest, [...client, ...target, 'sh', '-c', script], {
    cwd: keys,
    flags: ['-namespace', `+${packageRoot()}`],
  })
  const hostKey = fs.readFileSync(path.join(keys, 'host.pub'), 'utf8')
  t.same([code, stdout.toString()], [0, `${guestUserId}\n${hostKey}`], stderr)
  t.match(stderr, /the other side has our files, by FUSE, directly from vsock\/1:/)
})
