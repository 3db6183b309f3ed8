// Sessions of an ordinary user, in a user namespace: ids, FUSE, what can be mounted, and the end of their processes.
import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { MS_BIND, MS_RDONLY, MS_REC, MS_REMOUNT } from '../../src/linux/mount.js'
import { MOUNT_ROOT, type MountStep, type Step } from '../../src/namespace/plan.js'
import { sessionPlan } from '../../src/namespace/session-plan.js'
import { openPty } from '../../src/native/pty.js'
import { rootOnly } from '../../src/native/user-namespace.js'
import { packageRoot } from '../../src/version.js'
import { rootlessUser, subordinateId, userId } from '../fixtures/rootless.js'
import { processesWith, run, runToEnd, until } from '../fixtures/run-program.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const fstabText = `${MOUNT_ROOT}/d /mnt none bind\ntmpfs /srv tmpfs\n`
const { steps: plan } = sessionPlan({ fstabText, files: 'fuse', release: '' })

const mount = (change: Partial<MountStep>): Step => ({
  op: 'mount',
  source: 'test',
  target: '/mnt',
  type: '',
  flags: 0,
  data: '',
  onFailure: 'report',
  origin: `test ${JSON.stringify(change)}`,
  ...change,
})

/** A directory `d` with a file `f` in it, of the given owner. */
function files(t: Pick<Test, 'teardown'>, owner: number): string {
  const directory = temporaryDirectory(t)
  fs.chmodSync(directory, 0o755)
  fs.mkdirSync(path.join(directory, 'd'))
  fs.writeFileSync(path.join(directory, 'd/f'), 'content\n')
  for (const name of ['d', 'd/f']) fs.chownSync(path.join(directory, name), owner, owner)
  return directory
}

const useFiles = `
  cat /mnt/f ${MOUNT_ROOT}/d/f
  echo written >/mnt/new && mkdir /mnt/made && mv /mnt/new /mnt/made/moved && cat ${MOUNT_ROOT}/d/made/moved
  echo scratch >/srv/scratch && cat /srv/scratch && echo >/tmp/own && ls /tmp && ls -d /tmp/local/etc`
const filesUsed = 'content\ncontent\nwritten\nscratch\ncpu\nlocal\nmerge\nown\nroot\n/tmp/local/etc\n'

t.test('without subordinate ids the user is root inside', async t => {
  const here = files(t, 0)
  const user = rootlessUser(t, { files: here, subordinate: false })
  const ids = 'id -u; id -G; cat /proc/self/uid_map /proc/self/gid_map | tr -s " "; cat /proc/self/setgroups'
  const owners = 'stat -c "%u %g" /mnt/f /tmp /srv /usr; mknod /tmp/null c 1 3 2>&1 | sed "s/.*: //"'
  const { output, outcome, failedSteps } = await user.run({
    script: `${ids}; ${owners}; ${useFiles}`,
    steps: plan,
    fuseDevice: user.fuseDevice,
    userNamespace: rootOnly(userId, userId),
  })
  const map = ` 0 ${userId} 1\n`
  t.equal(output, `0\n0\n${map}${map}deny\n0 0\n0 0\n0 0\n65534 65534\nOperation not permitted\n${filesUsed}`)
  t.match(outcome, { code: 0 })
  t.same(failedSteps, [])
  t.equal(fs.readFileSync(path.join(here, 'd/made/moved'), 'utf8'), 'written\n')
  const chosen = await user.run({ script: 'id -u' })
  t.equal(chosen.output, '0\n', 'also where that is chosen')
})

t.test('with subordinate ids he is himself, and so is everybody', async t => {
  const here = files(t, userId)
  fs.chownSync(here, userId, userId)
  fs.writeFileSync(path.join(here, 'of-root'), '')
  fs.writeFileSync(path.join(here, 'of-another'), '')
  fs.chownSync(path.join(here, 'of-another'), 1234, 50_000)
  const user = rootlessUser(t, { files: here, client: userId, subordinate: true })
  const ids =
    'id -u; id -G; cat /proc/self/uid_map /proc/self/gid_map | tr -s " "; grep CapEff /proc/self/status'
  const owners = `cd ${MOUNT_ROOT}; stat -c "%u %g" d/f of-root of-another; (echo >of-root) 2>&1 | sed "s/.*: //"`
  const { output, outcome, failedSteps } = await user.run({
    script: `${ids}; ${owners}; ${useFiles}`,
    steps: plan,
    fuseDevice: user.fuseDevice,
  })
  const map = [
    ` 0 ${subordinateId} ${userId}`,
    ` ${userId + 1} ${subordinateId + userId} ${65_536 - userId}`,
    ` ${userId} ${userId} 1\n`,
  ].join('\n')
  const head = `${userId}\n${userId}\n${map}${map}CapEff:\t0000000000000000\n`
  const owned = `${userId} ${userId}\n0 0\n1234 50000\nPermission denied\n`
  t.equal(output, `${head}${owned}${filesUsed}`)
  t.match(outcome, { code: 0 })
  t.same(failedSteps, [])
  t.equal(fs.statSync(path.join(here, 'd/made/moved')).uid, userId)
})

t.test('his namespaces are his own', async t => {
  const user = rootlessUser(t, { subordinate: false })
  const script =
    'readlink /proc/self/ns/user /proc/self/ns/mnt; sh -c "umount /srv" 2>&1; mount -t tmpfs x /srv && echo mounted'
  const { output } = await user.run({ script })
  const outside = ['user', 'mnt'].map(name => fs.readlinkSync(`/proc/self/ns/${name}`))
  for (const name of outside) t.notMatch(output, name)
  t.match(output, /mounted\n$/)
  t.notMatch(fs.readFileSync('/proc/self/mounts', 'latin1'), ' /srv ')
})

t.test('what a user cannot have is refused by name, and the session goes on', async t => {
  const user = rootlessUser(t, { subordinate: false })
  const { output, failedSteps } = await user.run({
    script: 'echo on',
    steps: [
      mount({ type: 'devtmpfs' }),
      mount({ type: 'proc', source: 'proc' }),
      mount({ type: 'ext4', source: '/dev/null' }),
      mount({ source: '/dev', flags: MS_BIND }),
      mount({ source: '/dev', flags: MS_BIND | MS_REC }),
      { op: 'mkdir', path: '/missing/below', mode: 0o755, onFailure: 'report', origin: 'directory' },
      { op: 'touch', path: '/etc/missing', onFailure: 'report', origin: 'file' },
    ],
  })
  const needsRoot = '(needs root there: cpud runs as a user)'
  t.same(failedSteps, [
    `EPERM: operation not permitted, mount test on /mnt type devtmpfs ${needsRoot}`,
    `EPERM: operation not permitted, mount proc on /mnt type proc ${needsRoot}`,
    failedSteps[2],
    'EINVAL: invalid argument, mount /dev on /mnt (what is mounted below it may not be left out by a user: bind it with rbind)',
    `EACCES: permission denied, mkdir /missing/below (cpud runs as a user there; as root: mkdir -p /missing/below)`,
    `EACCES: permission denied, touch /etc/missing (cpud runs as a user there; as root: touch /etc/missing)`,
  ])
  t.match(failedSteps[2], / mount \/dev\/null on \/mnt type ext4/)
  t.equal(output, 'on\n')
})

t.test('a bind made read-only keeps the flags that are locked', async t => {
  const user = rootlessUser(t, { subordinate: false })
  const { output, failedSteps } = await user.run({
    script: 'awk \'$2 == "/mnt" { print $4 }\' /proc/mounts',
    steps: [
      mount({ source: user.locked, flags: MS_BIND }),
      mount({ flags: MS_REMOUNT | MS_BIND | MS_RDONLY }),
    ],
  })
  t.same(failedSteps, [])
  t.match(output, /^ro,nosuid,nodev,/)
})

t.test('no FUSE, and why', async t => {
  const user = rootlessUser(t, { subordinate: false })
  fs.chmodSync(user.fuseDevice, 0o600)
  const closed = await user.run({ script: 'echo on', steps: plan, fuseDevice: user.fuseDevice })
  t.match(closed, {
    output: '',
    outcome: { stage: 'fuse', exitCode: 125, error: { code: 'ERR_CPU_SPAWN_FUSE' } },
    message: `${user.fuseDevice} is closed to this user`,
    remedy: `as root: chmod 666 ${user.fuseDevice}; or run cpud as root`,
  })
  const missing = await user.run({ script: 'echo on', steps: plan, fuseDevice: '/dev/nothing' })
  t.equal(missing.message, 'no FUSE here (ENOENT: no such file or directory, open /dev/nothing)')
  t.equal(missing.remedy, 'as root: modprobe fuse')
})

t.test('no user namespace, and why', async t => {
  const script = path.join(packageRoot(), 'dist/test/fixtures/rootless-session.js')
  const session = JSON.stringify({ script: 'echo on', userNamespace: rootOnly(0, 0) })
  // the setting is one of each user namespace, for those within it
  const within = 'echo 0 >/proc/sys/user/max_user_namespaces; exec "$@" </dev/null'
  const { stdout } = spawnSync(
    'unshare',
    ['--user', '--map-root-user', 'sh', '-c', within, 'sh', process.execPath, script, session],
    { encoding: 'utf8', timeout: 60_000 },
  )
  t.match(JSON.parse(stdout), {
    outcome: { stage: 'user-namespace', exitCode: 125, error: { code: 'ERR_CPU_SPAWN_USER_NAMESPACE' } },
    message: 'user namespaces are switched off (user.max_user_namespaces is 0)',
    remedy: 'as root: sysctl user.max_user_namespaces=10000; or run cpud as root',
  })
})

t.test('ids that are not his are refused', async t => {
  const user = rootlessUser(t, { subordinate: true })
  const map = [{ inside: 0, outside: subordinateId - 1, count: 1 }]
  const { message, outcome, leftover } = await user.run({
    script: 'echo on',
    userNamespace: { uids: map, gids: map, subordinate: true },
  })
  t.match(outcome, { stage: 'user-namespace', exitCode: 125, error: { code: 'ERR_CPU_SPAWN_ID_MAP' } })
  t.match(message, /^ids of the session not mapped: newuidmap: .*not allowed/)
  t.equal(leftover, 0)
  const other = [{ inside: 0, outside: userId + 1, count: 1 }]
  const kernel = await user.run({
    script: 'echo on',
    userNamespace: { uids: other, gids: other, subordinate: false },
  })
  t.match(kernel.outcome, { stage: 'user-namespace', error: { code: 'ERR_CPU_SPAWN_USER_NAMESPACE' } })
  t.match(kernel.message, /EPERM/)
})

for (const subordinate of [false, true]) {
  const who = subordinate ? 'himself' : 'root'
  const script = `trap "" TERM HUP INT
    (setsid sh -c '(setsid sleep 1000 &) ; sleep 1000' &)
    sh -c 'kill -STOP $$' &
    exec sleep 1000`

  t.test(`the end kills everything of the user who is ${who}`, async t => {
    const user = rootlessUser(t, { files: files(t, 0), subordinate })
    const session = user.start({ script, steps: plan, fuseDevice: user.fuseDevice })
    const { marker } = await session.started
    await until(() => processesWith(marker).length >= 4)
    session.end()
    t.match(await session.result, { outcome: { signal: 'SIGKILL' }, leftover: 0 })
    t.same(processesWith(marker), [])
  })

  t.test(`the end of cpud kills everything of the user who is ${who}`, async t => {
    const user = rootlessUser(t, { files: files(t, 0), subordinate })
    const session = user.start({ script, steps: plan, fuseDevice: user.fuseDevice })
    const { marker, supervisor } = await session.started
    await until(() => processesWith(marker).length >= 4)
    session.child.kill('SIGKILL')
    await until(() => processesWith(marker).length === 0 && !fs.existsSync(`/proc/${supervisor}/ns/mnt`))
    await session.result.catch(() => {})
    t.pass('all of them')
  })

  t.test(`a supervisor that is killed takes along the program of the user who is ${who}`, async t => {
    const user = rootlessUser(t, { subordinate })
    const session = user.start({ script: 'sleep 1000 & sleep 1000' })
    const { marker, supervisor } = await session.started
    await until(() => processesWith(marker).length >= 3)
    process.kill(supervisor, 'SIGKILL')
    t.match(await session.result, { outcome: { problem: { code: 'ERR_CPU_SPAWN_SUPERVISOR' } } })
    await until(() => processesWith(marker).length === 0)
  })

  t.test(`the memory of cpud is closed to the user who is ${who}`, async t => {
    const user = rootlessUser(t, { subordinate })
    const look = 'for f in maps mem environ; do head -c 1 /proc/$p/$f >/dev/null 2>&1 && echo $f of $p; done'
    const cpud = 'cpud=$(awk "{ print \\$4 }" /proc/$PPID/stat)'
    const { output, outcome } = await user.run({
      script: `${cpud}; for p in $PPID $cpud; do ${look}; done; p=$$; ${look}`,
    })
    t.match(outcome, { code: 0 })
    t.match(output, /^maps of (\d+)\nenviron of \1\n$/, 'what is its own can be read')
  })
}

t.test('when the connection to the files breaks, who waits for them is told', async t => {
  const user = rootlessUser(t, { files: files(t, 0), subordinate: false })
  const session = user.start({
    script:
      'exec 3</mnt/f; echo >/tmp/ready; until ls /mnt 2>&1 | grep -q "not connected"; do sleep 0.01; done; echo told',
    steps: plan,
    fuseDevice: user.fuseDevice,
  })
  const { pid } = await session.started
  await until(() => fs.existsSync(`/proc/${pid}/root/tmp/ready`))
  session.disconnect()
  t.match(await session.result, { output: 'told\n', outcome: { code: 0 }, leftover: 0 })
})

t.test('a controlling terminal', async t => {
  const { master, slaveFd } = openPty({ rows: 24, columns: 80 })
  const { outcome, program } = run('tty </dev/tty; echo ready; exec sleep 1000', {
    stdio: [slaveFd, slaveFd, slaveFd],
    controllingTerminal: true,
    mountNamespace: true,
    userNamespace: rootOnly(0, 0),
    steps: sessionPlan({ fstabText, files: undefined, release: '' }).steps,
  })
  let text = ''
  master.on('data', chunk => {
    text += chunk
    if (text.includes('ready')) master.write('\x03')
  })
  t.strictSame(await outcome, { signal: 'SIGINT' }, 'Ctrl-C comes through')
  await program.end()
  t.match(text, /^\/dev\/tty\r\nready/)
  master.destroy()
})

t.test('root has the device of FUSE opened by the supervisor too', async t => {
  const at = temporaryDirectory(t)
  const device = path.join(at, 'fuse')
  execFileSync('mknod', ['-m', '600', device, 'c', '10', '229'])
  const fuse = sessionPlan({ fstabText: '', files: 'fuse', release: '' })
  const descriptors = () => fs.readdirSync('/proc/self/fd').length
  await runToEnd('true')
  const before = descriptors()
  const session = run(`stat -f ${MOUNT_ROOT}`, {
    mountNamespace: true,
    steps: fuse.steps,
    fuseDevice: device,
  })
  const fd = await new Promise<number>(resolve => session.program.once('fuse', resolve))
  t.equal(fs.fstatSync(fd).rdev, fs.statSync('/dev/fuse').rdev)
  const init = Buffer.alloc(16_384)
  t.ok(fs.readSync(fd, init) >= 40)
  t.equal(init.readUInt32LE(4), 26, 'FUSE_INIT waits there')
  fs.closeSync(fd)
  t.match(await session.outcome, { code: 1 }, 'nobody else has the device open: the connection is gone')
  t.match((await session.output).toString(), /Transport endpoint is not connected\n$/)
  await session.program.end()
  await session.ended
  const unheard = run('true', { mountNamespace: true, steps: fuse.steps, fuseDevice: device })
  t.match(await unheard.outcome, { code: 0 })
  await unheard.program.end()
  t.equal(descriptors(), before)
})
