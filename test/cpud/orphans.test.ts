// Process 1 reaps what nobody else does, and nothing that somebody waits for: the finished cpud in a PID namespace.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { generateKey } from '../../src/ssh/generate-key.js'
import { packageRoot } from '../../src/version.js'
import { cpu, eventually, type Target } from '../fixtures/cpu-command.js'

/** With a unix socket, in namespaces of its own; ended with the test. */
async function startInit(): Promise<Target> {
  const limit = '/proc/sys/kernel/printk_devkmsg'
  const before = readFileSync(limit)
  t.teardown(() => writeFileSync(limit, before))
  // Not in /tmp, which is another there.
  const directory = mkdtempSync('/var/tmp/cpu-')
  t.teardown(() => rmSync(directory, { recursive: true }))
  const [key, host, socket] = ['key', 'host', 'socket'].map(name => join(directory, name)) as [
    string,
    string,
    string,
  ]
  const pair = generateKey('you')
  writeFileSync(key, pair.private, { mode: 0o600 })
  writeFileSync(`${key}.pub`, pair.public)
  const init = [join(packageRoot(), 'dist/bundle/cpud.cjs'), '-init', '-pk', `${key}.pub`, '-hk', host]
  const child = spawn(
    'unshare',
    [
      '--mount',
      '--pid',
      '--fork',
      '--uts',
      '--net',
      '--kill-child',
      process.execPath,
      ...init,
      '-net',
      'unix',
      '-addr',
      socket,
    ],
    { stdio: 'ignore' },
  )
  t.teardown(async () => {
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  await eventually(() => existsSync(socket))
  return {
    flags: ['-files', 'none', '-net', 'unix', '-key', key, '-hk', `${host}.pub`],
    host: socket,
    env: { HOME: directory },
  }
}

t.test('a thousand orphans', async t => {
  const target = await startInit()
  const gate = join(dirname(target.host), 'gate')
  execFileSync('mkfifo', [gate])
  const bash = (script: string) => cpu(target, ['bash', '-c', script])
  const orphans = (command: string) =>
    `for ((i = 0; i < 500; i++)); do ( ${command} & ) >/dev/null 2>&1; done`
  // Those of a session whose supervisor is killed are process 1's, if they are in no group of the program's.
  t.match(await bash(`set -m; ${orphans(`read <${gate}`)}; kill -KILL $PPID; sleep 100`), {
    code: 137,
    stderr: /supervisor killed/,
  })
  const count = async (pattern: string) =>
    Number((await bash(`cat /proc/[0-9]*/stat 2>/dev/null | grep -c '${pattern}'`)).stdout)
  t.equal(await count('(bash) S 1 '), 500)
  const sessions = [3, 4, 5, 6, 7].map(code => bash(`${orphans('sleep 0.1')}; : <>${gate}; exit ${code}`))
  t.strictSame(
    (await Promise.all(sessions)).map(({ code }) => code),
    [3, 4, 5, 6, 7],
    'no exit status is lost',
  )
  t.ok(
    await eventually(async () => (await count(') . 1 ')) === 1),
    'all are gone but the supervisor of who asks',
  )
})
