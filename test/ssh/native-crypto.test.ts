// The commands as they are shipped, with and without the native part of ssh2 beside them.
import fs from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { SLOW_ENCRYPTION } from '../../src/ssh/algorithms.js'
import { CPU, collect, cpu } from '../fixtures/cpu-command.js'
import { startCpud } from '../fixtures/local-cpud.js'
import { spawnAsUser } from '../fixtures/spawn-as-user.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

t.test('a bundle finds it', async t => {
  const target = await startCpud(t, 'unix')
  let log = ''
  target.daemon.stderr!.on('data', chunk => {
    log += chunk
  })
  const { code, stderr } = await cpu(target, ['true'], { flags: ['-v'] })
  t.equal(code, 0)
  t.match(stderr, /^cpu: encrypted with \S+$/m)
  t.notMatch(log, /sshcrypto/)
})

t.test('a bundle without it says so, and works', async t => {
  const target = await startCpud(t, 'unix')
  const directory = temporaryDirectory(t)
  for (const file of ['cpu.cjs', 'cpu_harness.node'])
    fs.copyFileSync(path.join(path.dirname(CPU), file), path.join(directory, file))
  const args = [...target.flags, '-v', target.host, 'echo', 'on']
  const child = spawnAsUser(process.execPath, [path.join(directory, 'cpu.cjs'), ...args], {
    cwd: '/',
    env: target.env,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const { code, stdout, stderr } = await collect(child, { input: '' })
  t.equal(code, 0)
  t.equal(stdout.toString(), 'on\n')
  t.ok(stderr.includes(`, ${SLOW_ENCRYPTION}\n`), stderr)
})
