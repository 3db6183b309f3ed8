// cpud -user NAME: programs run as that user, whoever cpud is.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { findUser } from '../../src/native/users.js'
import { cpu } from '../fixtures/cpu-command.js'
import { startCpud } from '../fixtures/local-cpud.js'
import { startOnTerminal } from '../fixtures/on-terminal.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const NAME = 'cpu-user-test'

/** A machine that has the user: cpud with files of its own in the place of /etc/passwd and /etc/group. */
function withUser(t: Pick<Test, 'teardown'>): { under: string[] } {
  const directory = temporaryDirectory(t)
  const [passwd, group] = [path.join(directory, 'passwd'), path.join(directory, 'group')]
  fs.writeFileSync(passwd, `root:x:0:0::/root:/bin/sh\n${NAME}:x:4321:4322::/home/nowhere:\n`)
  fs.writeFileSync(
    group,
    `root:x:0:\ntty:x:5:\n${NAME}:x:4322:\nboards:x:4400:root,${NAME}\nroom:x:4500:${NAME}\n`,
  )
  const script = `mount --bind ${passwd} /etc/passwd && mount --bind ${group} /etc/group && exec "$@"`
  return { under: ['unshare', '--mount', 'sh', '-c', script, '-'] }
}

t.test('users are found with all their groups', async t => {
  for (const name of ['root', 'nobody', 'daemon']) {
    const ids = (flag: string) => execFileSync('id', [flag, name], { encoding: 'utf8' }).trim()
    const user = findUser(name)
    t.match(user, { name, uid: Number(ids('-u')), gid: Number(ids('-g')) })
    t.strictSame([...(user?.groups ?? [])].sort(), ids('-G').split(' ').map(Number).sort())
  }
  t.equal(findUser('no-such-user'), undefined)
})

t.test('a program is that user’s, and so are the files that it sees', async t => {
  const cpud = await startCpud(t, 'unix', { files: 'fuse', args: ['-user', NAME], ...withUser(t) })
  const directory = temporaryDirectory(t)
  fs.chmodSync(directory, 0o700)
  fs.writeFileSync(path.join(directory, 'mine'), 'mine\n', { mode: 0o600 })
  const script = `id; echo $HOME $USER $LOGNAME; grep -E "^(Cap(Eff|Prm|Inh|Bnd)|Groups)" /proc/self/status
    cat mine; echo new > new; stat -c %u mine new; cat /tmp/local/etc/shadow; touch /tmp/local/etc/no`
  const { stdout, stderr } = await cpu(cpud, ['sh', '-c', script], { cwd: directory })
  const said = stdout.toString()
  t.match(said, /^uid=4321\S* gid=4322\S* groups=4322\S*,4400\S*,4500\S*\n/)
  t.match(said, `/home/nowhere ${NAME} ${NAME}\n`)
  t.match(said, /CapEff:\s0+\n/)
  t.match(said, `mine\n4321\n4321\n`)
  t.match(stderr, /local\/etc\/shadow: Permission denied/, 'the machine’s own is not his')
  t.match(stderr, /local\/etc\/no.*Permission denied/)
  t.equal(fs.statSync(path.join(directory, 'new')).uid, process.getuid!(), 'here it is whoever made it')
})

t.test('so is his terminal', async t => {
  const cpud = await startCpud(t, 'unix', { args: ['-user', NAME], ...withUser(t) })
  const session = startOnTerminal(t, cpud, ['sh', '-c', 'stat -c "owner %u" $(tty); echo written > $(tty)'])
  t.equal(await session.ended, 0)
  t.ok(await session.shows(/owner 4321\r?\nwritten/))
})

t.test('a forced command is his too', async t => {
  const cpud = await startCpud(t, 'unix', {
    args: ['-user', NAME],
    ...withUser(t),
    authorize: key => `command="id -un; echo $HOME" ${key}`,
  })
  t.equal((await cpu(cpud, ['anything'])).stdout.toString(), `${NAME}\n/home/nowhere\n`)
})

t.test('a user that is none', async t => {
  await t.rejects(startCpud(t, 'unix', { args: ['-user', 'no-such-user'] }), {
    message: /this machine has no user "no-such-user" \(-user\)/,
  })
})
