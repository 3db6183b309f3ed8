// Sessions of a cpud that an ordinary user runs on this machine, with files by FUSE.
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { packageRoot } from '../../src/version.js'
import { CPU, collect, cpu, eventually, type Result, startCpu } from '../fixtures/cpu-command.js'
import { type LocalCpud, startCpud } from '../fixtures/local-cpud.js'
import { type RootlessUser, rootlessUser, userId } from '../fixtures/rootless.js'
import { processesWith } from '../fixtures/run-program.js'
import { sessionSuite } from '../fixtures/session-suite.js'
import { spawnAsUser } from '../fixtures/spawn-as-user.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

/** Of the client's user, who is neither root nor the one there. */
const clientId = 34_567

interface Place extends LocalCpud {
  readonly user: RootlessUser
  /** A directory of the client's. */
  readonly here: string
  /** Runs a script there, from `here`, as root. */
  sh(script: string, flags?: readonly string[], env?: Record<string, string>): Promise<Result>
}

async function place(t: Test, subordinate: boolean): Promise<Place> {
  const user = rootlessUser(t, { subordinate })
  const cpud = await startCpud(t, 'unix', { user, files: 'fuse' })
  const here = temporaryDirectory(t)
  fs.chmodSync(here, 0o755)
  const sh: Place['sh'] = (script, flags = [], env = {}) =>
    cpu(cpud, ['sh', '-c', script], { cwd: here, flags, env })
  return { ...cpud, user, here, sh }
}

/** Runs a script as a client whose user is `clientId`. */
function shAsClient({ flags, host, here }: Place, script: string): Promise<Result> {
  const key = path.join(here, 'key')
  fs.copyFileSync(flags[flags.indexOf('-key') + 1]!, key)
  fs.chownSync(key, clientId, clientId)
  fs.chmodSync(path.dirname(host), 0o755)
  fs.chmodSync(host, 0o777)
  const as = ['--reuid', String(clientId), '--regid', String(clientId), '--clear-groups']
  const command = [process.execPath, CPU, ...flags, '-user', 'client', '-key', key, host, 'sh', '-c', script]
  return collect(spawnAsUser('setpriv', [...as, ...command], { cwd: here, env: { HOME: here } }), {
    input: '',
  })
}

const text = ({ stdout, stderr }: Result) => `${stdout}${stderr}`

for (const subordinate of [false, true]) {
  const who = subordinate ? 'who is himself there' : 'who is root there'
  const id = subordinate ? userId : 0

  t.test(`the suite, by a user ${who}`, async t => {
    const user = rootlessUser(t, { subordinate })
    const cpud = await startCpud(t, 'unix', { user, files: 'fuse' })
    const kind = subordinate ? 'in which ids are what they are here' : 'in which this user is root'
    t.ok(await eventually(() => cpud.log().includes(`each session in a user namespace, ${kind}`)))
    sessionSuite(t, cpud)
  })

  t.test(`the files of a client are those of a user ${who}`, async t => {
    const there = await place(t, subordinate)
    const { here } = there
    fs.chownSync(here, clientId, clientId)
    fs.writeFileSync(path.join(here, 'own'), '')
    fs.chownSync(path.join(here, 'own'), clientId, clientId)
    fs.writeFileSync(path.join(here, 'of-root'), '')
    const owners = await shAsClient(
      there,
      'id -u; id -g; stat -c "%n %u %g" own of-root; mkdir made; echo x >made/f',
    )
    t.equal(text(owners), `${id}\n${id}\nown ${id} ${id}\nof-root 0 0\n`)
    for (const name of ['made', 'made/f'])
      t.match(fs.statSync(path.join(here, name)), { uid: clientId, gid: clientId })
    const refused = await shAsClient(
      there,
      `chown ${id}:${id} own && echo kept
       (echo >of-root) 2>&1 | sed 's/.*: //'
       for change in '${id} of-root' '1 own' '${clientId} of-root'; do LC_ALL=C chown $change 2>&1 | sed 's/.*: //'; done`,
    )
    // to an id that does not exist there
    const unknown = subordinate ? 'Operation not permitted' : 'Invalid argument'
    const expected = ['kept', 'Permission denied', 'Operation not permitted', unknown, unknown]
    t.equal(text(refused), `${expected.join('\n')}\n`)
    t.equal(fs.statSync(path.join(here, 'own')).uid, clientId)
    t.equal(fs.statSync(path.join(here, 'of-root')).uid, 0)
  })

  t.test(`what is written by a user ${who} is here when his session has ended`, async t => {
    const { here, sh } = await place(t, subordinate)
    const mapped = `python3 -c '
import mmap
with open("mapped", "w+b") as file:
    file.truncate(8192)
    mmap.mmap(file.fileno(), 8192)[4096:4100] = b"data"'`
    for (const cache of ['auto', 'always', 'strict']) {
      const { code, stderr } = await sh(`echo ${cache} >written; exec ${mapped}`, ['-cache', cache])
      t.same([code, stderr], [0, ''])
      t.equal(fs.readFileSync(path.join(here, 'written'), 'utf8'), `${cache}\n`)
      t.equal(fs.readFileSync(path.join(here, 'mapped')).toString('latin1', 4096, 4100), 'data')
      t.equal(fs.statSync(path.join(here, 'written')).uid, 0)
    }
  })

  t.test(`nothing is left of the sessions of a user ${who}`, async t => {
    const { daemon, here, sh, ...target } = await place(t, subordinate)
    const proc = `/proc/${daemon.pid}`
    const descriptors = () => fs.readdirSync(`${proc}/fd`).length
    const mounts = () => fs.readFileSync(`${proc}/mounts`, 'latin1')
    const threads = () => fs.readdirSync(`${proc}/task`).length
    await sh('true')
    const [before, mountsBefore, threadsBefore] = [descriptors(), mounts(), threads()]
    const token = randomUUID()
    for (const script of ['ls -R /tmp/cpu/etc >/dev/null; (setsid sleep 1000 &)', 'exit 3', 'kill -9 $$'])
      await sh(script, [], { TOKEN: token })
    await sh('no-such-command', ['-files', '9p'])
    const dying = startCpu(target, ['sh', '-c', 'echo on; exec tail -f own'], {
      cwd: here,
      env: { TOKEN: token },
    })
    await once(dying.stdout!, 'data')
    dying.kill('SIGKILL')
    t.ok(await eventually(() => processesWith(token).length === 0), 'no process')
    t.ok(await eventually(() => descriptors() <= before), 'no descriptor')
    t.equal(mounts(), mountsBefore, 'no mount')
    t.ok(await eventually(() => threads() <= threadsBefore), 'no thread')
    const last = startCpu(target, ['sh', '-c', 'echo on; setsid sleep 1000'], {
      cwd: here,
      env: { TOKEN: token },
    })
    const result = collect(last)
    await once(last.stdout!, 'data')
    daemon.kill('SIGKILL')
    t.ok(await eventually(() => processesWith(token).length === 0), 'also when cpud is killed')
    t.match(await result, { code: 255 })
  })
}

t.test('what a user cannot have is refused by name', async t => {
  const { sh, user } = await place(t, false)
  const fstab = `proc /mnt proc
/dev /mnt none bind
tmpfs /missing/directory tmpfs
/dev/sda1 /mnt nosuchfs
tmpfs /srv tmpfs
`
  const lines = await sh('echo scratch >/srv/f && cat /srv/f', [], { CPU_FSTAB: fstab })
  t.match(lines, { code: 0 })
  t.equal(lines.stdout.toString(), 'scratch\n')
  t.same(lines.stderr.trimEnd().split('\n'), [
    'cpud: fstab:1: EPERM: operation not permitted, mount proc on /mnt type proc (needs root there: cpud runs as a user)',
    'cpud: fstab:2: EINVAL: invalid argument, mount /dev on /mnt (what is mounted below it may not be left out by a user: bind it with rbind)',
    'cpud: fstab:3: EACCES: permission denied, mkdir /missing/directory (cpud runs as a user there; as root: mkdir -p /missing/directory)',
    'cpud: fstab:4: ENODEV: no such device, mount /dev/sda1 on /mnt type nosuchfs',
  ])
  const ninep = await sh('true', ['-files', '9p'])
  t.match(ninep, {
    code: 255,
    stderr:
      'cpud: cpud runs as an ordinary user here, who cannot mount 9P (leave out -files 9p, or run cpud as root)\n',
  })
  const place9 = await sh('true', ['-namespace', '+/missing=/etc'])
  t.match(place9, {
    code: 0,
    stderr:
      'cpud: namespace:7: EACCES: permission denied, mkdir /missing (cpud runs as a user there; as root: mkdir -p /missing)\n',
  })
  fs.chmodSync(user.fuseDevice, 0o600)
  t.match(await sh('true'), {
    code: 255,
    stderr: 'cpud: /dev/fuse is closed to this user (as root: chmod 666 /dev/fuse; or run cpud as root)\n',
  })
  t.match(await sh('id -u', ['-files', 'none']), { code: 0, stderr: '' }, 'that needs nothing')
})

t.test('where there are no user namespaces, it says so', async t => {
  // the setting is one of each user namespace, for those within it; and without its capabilities, root is a user
  const script =
    'echo 0 >/proc/sys/user/max_user_namespaces; exec setpriv --inh-caps=-all --bounding-set=-all "$@"'
  const under = ['unshare', '--user', '--map-root-user', 'sh', '-c', script, 'sh']
  const cpud = await startCpud(t, 'unix', { under, files: 'fuse' })
  t.match(await cpu(cpud, ['true']), {
    code: 255,
    stderr:
      'cpud: user namespaces are switched off (user.max_user_namespaces is 0) (as root: sysctl user.max_user_namespaces=10000; or run cpud as root)\n',
  })
  t.match(await cpu(cpud, ['true'], { flags: ['-files', 'none'] }), { code: 0, stderr: '' })
})

t.test('a user is not PID 1', async t => {
  const bundle = path.join(packageRoot(), 'dist/bundle/cpud.cjs')
  const as = ['--reuid', String(userId), '--regid', String(userId), '--clear-groups']
  const init = await collect(spawnAsUser('setpriv', [...as, process.execPath, bundle, '-init']), {
    input: '',
  })
  t.match(init, { code: 2, stderr: /^cpud: -init sets a machine up, which takes root \(.+\)\n$/ })
})
