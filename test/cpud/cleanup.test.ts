// What is left of sessions, however they end: no process, mount, descriptor or directory.
import { once } from 'node:events'
import fs from 'node:fs'
import t, { type Test } from 'tap'
import { cpu, eventually, startCpu } from '../fixtures/cpu-command.js'
import { descriptorsOf } from '../fixtures/hostile-peer.js'
import { type LocalCpud, startCpud } from '../fixtures/local-cpud.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const SESSIONS = 50
/** Something in a session of its own that does not listen to signals. */
const BREED = 'setsid sh -c "trap \\"\\" TERM HUP; sleep 1000" & cat /etc/hostname >/dev/null; echo started;'

/** A cpud with mounts and temporary files of its own. */
async function startAlone(t: Test) {
  const temporary = temporaryDirectory(t)
  const under = ['unshare', '--mount', 'env', `TMPDIR=${temporary}`]
  return { temporary, target: await startCpud(t, 'unix', { files: 'fuse', under }) }
}

function descendantsOf(pid: number): number[] {
  const words = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ')
  return words.filter(word => word !== '').flatMap(word => [Number(word), ...descendantsOf(Number(word))])
}

/** A session with files that runs until it is stopped. */
async function startSession(t: Test, target: LocalCpud) {
  const child = startCpu(target, ['sh', '-c', `${BREED} sleep 1000`])
  t.teardown(() => child.kill('SIGKILL'))
  await once(child.stdout!, 'data')
  return child
}

t.test('nothing is left when ...', async t => {
  const { target, temporary } = await startAlone(t)
  const { pid } = target.daemon
  await cpu(target, ['true']) // what is opened once stays
  const mounts = () => fs.readFileSync(`/proc/${pid}/mountinfo`, 'latin1')
  const [mountsBefore, descriptors] = [mounts(), descriptorsOf(target)]
  const expectNothing = async (t: Test) => {
    t.ok(await eventually(() => descendantsOf(pid!).length === 0), 'no process')
    t.ok(await eventually(() => descriptorsOf(target) <= descriptors), 'no descriptor')
    t.equal(mounts(), mountsBefore, 'no mount')
    t.same(fs.readdirSync(temporary), [], 'no file')
  }

  await t.test(`... ${SESSIONS} sessions have ended by themselves`, async t => {
    for (let count = 0; count < SESSIONS; count += 5) {
      const batch = Array.from({ length: 5 }, () => cpu(target, ['sh', '-c', `${BREED} exit 3`]))
      for (const { code } of await Promise.all(batch)) t.equal(code, 3)
    }
    await expectNothing(t)
  })

  await t.test('... commands could not be started, and mounts not be made', async t => {
    for (const command of [['/no/such'], ['/etc/passwd']]) await cpu(target, command)
    await cpu(target, ['true'], {
      env: { CPU_FSTAB: 'none /nowhere/at/all bind bind\nx /tmp/y no-such-type' },
    })
    await expectNothing(t)
  })

  await t.test('... clients were killed', async t => {
    const children = [await startSession(t, target), await startSession(t, target)]
    t.ok(descendantsOf(pid!).length >= 6, 'supervisors, programs, and what they started')
    for (const child of children) child.kill('SIGKILL')
    await expectNothing(t)
  })
})

for (const signal of ['SIGTERM', 'SIGKILL'] as const)
  t.test(`nothing is left when cpud gets ${signal}`, async t => {
    const { target, temporary } = await startAlone(t)
    const session = await startSession(t, target)
    const ended = once(session, 'exit')
    const descendants = descendantsOf(target.daemon.pid!)
    t.ok(descendants.length >= 3, 'supervisor, program, and what it started')
    target.daemon.kill(signal)
    const [code] = await ended
    t.not(code, 0)
    t.ok(await eventually(() => descendants.every(pid => !fs.existsSync(`/proc/${pid}`))), 'no process')
    t.same(fs.readdirSync(temporary), [], 'no file')
  })
