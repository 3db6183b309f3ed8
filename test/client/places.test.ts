// What of the user's is where: -export, -cd, -env, -ssh, -fstab-strict, -dump, with files by FUSE on this very machine.
import fs from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { type CommandOptions, cpu as runCpu, type Target } from '../fixtures/cpu-command.js'
import { startCpud } from '../fixtures/local-cpud.js'
import { startSshd } from '../fixtures/local-sshd.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

async function cpu(
  target: Target,
  command: readonly string[],
  options: CommandOptions & { flags?: readonly string[] },
) {
  const { code, stdout, stderr } = await runCpu(target, command, options)
  return { code, stdout: stdout.toString(), stderr }
}

/** A directory of the user's beside others that are not to be seen. */
function places(t: Test): { above: string; here: string; beside: string } {
  const above = temporaryDirectory(t)
  const [here, beside] = ['here', 'beside'].map(name => path.join(above, name)) as [string, string]
  for (const directory of [here, beside]) {
    fs.mkdirSync(directory)
    fs.writeFileSync(path.join(directory, 'file'), directory)
  }
  return { above, here, beside }
}

t.test('what the other machine sees', async t => {
  const cpud = await startCpud(t, 'unix', { files: 'fuse' })
  const { above, here, beside } = places(t)
  const list = async (flags: string[], env: Record<string, string> = {}, cwd = here) =>
    (await cpu(cpud, ['sh', '-c', `ls /tmp/cpu; ls /tmp/cpu${above}; pwd`], { flags, cwd, env })).stdout
      .trim()
      .split('\n')
  const lib64 = fs.existsSync('/lib64') ? ['lib64'] : []
  const top = ['bin', 'etc', 'home', 'lib', ...lib64, 'tmp', 'usr']
  t.strictSame(await list([]), [...top, 'here', here], 'the namespace and the current directory')
  t.strictSame(await list(['-namespace', '/usr:/bin:/lib:/lib64']), [
    'bin',
    'lib',
    ...lib64,
    'tmp',
    'usr',
    'here',
    here,
  ])
  t.strictSame(
    await list([], { CPU_FSTAB: `/tmp/cpu${beside} /mnt none bind` }),
    [...top, 'beside', 'here', here],
    'and what the fstab takes from there',
  )
  const all = fs
    .readdirSync('/')
    .filter(name => !name.startsWith('.'))
    .sort()
  t.strictSame(await list(['-export', 'all']), [...all, 'beside', 'here', here])
  t.strictSame(
    (await list(['-namespace', 'none'])).slice(0, -1),
    [...all, 'beside', 'here'],
    'without a namespace everything is below /tmp/cpu',
  )
  t.strictSame((await list(['-namespace', 'none', '-export', 'namespace'])).slice(0, -1), ['tmp', 'here'])
  const { code, stdout } = await cpu(
    cpud,
    [
      'sh',
      '-c',
      `cat /tmp/cpu${beside}/file; cat /tmp/cpu/root/.ssh/id_rsa; ls /tmp/cpu${here}/..; touch ../new; ls -A ../..`,
    ],
    { cwd: here },
  )
  t.not(code, undefined)
  t.notMatch(stdout, /beside/)
  t.notOk(fs.existsSync(path.join(above, 'new')))
})

t.test('a file in the place of one, and where there is none yet', async t => {
  const cpud = await startCpud(t, 'unix', { files: 'fuse' })
  const { here } = places(t)
  const flags = ['-namespace', `+/etc/hostname=${here}/file:/tmp/new/deep=${here}/file`]
  const { stdout, stderr } = await cpu(cpud, ['cat', '/etc/hostname', '/tmp/new/deep'], { flags, cwd: here })
  t.strictSame([stdout, stderr], [here + here, ''])
})

t.test('the directory to start in', async t => {
  const cpud = await startCpud(t, 'unix', { files: 'fuse' })
  const { above, here, beside } = places(t)
  const pwd = (flags: string[], command = 'pwd; ls') => cpu(cpud, ['sh', '-c', command], { flags, cwd: here })
  t.strictSame((await pwd(['-cd', beside])).stdout, `${beside}\nfile\n`)
  t.strictSame((await pwd(['-cd', '../beside'])).stdout, `${beside}\nfile\n`, 'from the current one')
  t.strictSame((await pwd(['-cd', beside], `ls /tmp/cpu${above}`)).stdout, 'beside\n', 'which is not served')
  t.strictSame((await pwd(['-cd', '/proc/sys'], 'pwd')).stdout, '/proc/sys\n', 'one of the other machine')
  const missing = await pwd(['-cd', '/no/such'])
  t.match(missing, { code: 255, stdout: '', stderr: /chdir.*\/no\/such/ })
  t.match(await pwd(['-files', 'none', '-cd', '/no/such']), { code: 255, stdout: '' })
})

t.test('the current directory, of what -root serves', async t => {
  const cpud = await startCpud(t, 'unix', { files: 'fuse' })
  const { above, here } = places(t)
  const pwd = (flags: string[], cwd: string) => cpu(cpud, ['sh', '-c', 'pwd; ls'], { flags, cwd })
  t.match(await pwd(['-root', above], here), { code: 0, stdout: `${here}\nfile\n`, stderr: '' })
  t.match(await pwd(['-v', '-root', here], above), {
    code: 0,
    stdout: '/tmp/cpu\n',
    stderr: `cpu: ${above} is not below ${here} (-root), so the command starts in /tmp/cpu\n`,
  })
})

t.test('variables', async t => {
  const cpud = await startCpud(t, 'unix')
  const env = { PATH: process.env['PATH']!, A: 'a', B: 'b', CPU_FSTAB: '' }
  const names = async (...flags: string[]) =>
    (await cpu(cpud, ['env'], { flags, env })).stdout
      .split('\n')
      .filter(line => /^[A-D]=/.test(line))
      .sort()
  t.strictSame(await names(), ['A=a', 'B=b'])
  t.strictSame(await names('-env', 'A,C=c=c,D='), ['A=a', 'C=c=c', 'D='])
  t.strictSame(await names('-env', 'B=c', '-env', 'none'), ['B=c'])
  t.strictSame(await names('-env', '+C=c,B=x'), ['A=a', 'B=x', 'C=c'])
  t.strictSame(await names('-env', ''), [])
  t.match(await cpu(cpud, ['env'], { flags: ['-env', '=x'] }), {
    code: 2,
    stderr: /invalid -env: "=x" has no name/,
  })
})

t.test('as plain ssh', async t => {
  const cpud = await startCpud(t, 'unix')
  const mounts = await cpu(cpud, ['cat', '/proc/self/mountinfo'], {
    flags: ['-files', 'none', '-ssh'],
    env: { CPU_FSTAB: 'tmpfs /mnt tmpfs' },
  })
  t.equal(mounts.code, 0)
  t.notMatch(mounts.stdout, / \/tmp\/cpu | \/mnt /)
  for (const flags of [
    ['-namespace', '/usr'],
    ['-fstab', '/dev/null'],
    ['-export', 'all'],
    ['-fstab-strict'],
  ])
    t.match(await cpu(cpud, ['true'], { flags: ['-ssh', ...flags] }), {
      code: 2,
      stderr: new RegExp(`-ssh .*${flags[0]}`),
    })
  t.match(await cpu(cpud, ['true'], { flags: ['-ssh', '-files', 'fuse'] }), { code: 2 })
})

t.test('a server that is no cpud', async t => {
  const { port, clientKey, directory } = await startSshd(t)
  const flags = ['-sp', String(port), '-key', clientKey, '-hk', path.join(directory, 'ed25519.pub')]
  const sshd = { flags, host: '127.0.0.1', env: { CPU_FSTAB: '' } }
  const command = ['sh', '-c', 'echo "$1"; exit 4', '-', 'a b']
  t.match(await cpu(sshd, command, { flags: ['-ssh'] }), { code: 4, stdout: 'a b\n', stderr: '' })
  const refused = { code: 255, stdout: '', stderr: /^cpu: .* is a plain ssh server \(OpenSSH_.*use -ssh/ }
  t.match(await cpu(sshd, command, {}), refused)
  const env = { CPU_FSTAB: 'tmpfs /mnt tmpfs' }
  t.match(await cpu(sshd, command, { flags: ['-9p=false'], env }), refused)
  t.match(await cpu(sshd, command, { flags: ['-ssh'], env }), { code: 4, stderr: '' })
})

t.test('a strict fstab', async t => {
  const cpud = await startCpud(t, 'unix')
  const run = (fstab: string, ...flags: string[]) =>
    cpu(cpud, ['echo', 'ran'], { flags, env: { CPU_FSTAB: fstab } })
  const failing = 'nothing /mnt no-such-type'
  t.match(await run(failing), { code: 0, stdout: 'ran\n', stderr: /fstab:1: / })
  t.match(await run(failing, '-fstab-strict'), {
    code: 255,
    stdout: '',
    stderr: /^cpud: fstab:1: ENODEV: .*no-such-type/,
  })
  t.match(await run(`${failing} nofail`, '-fstab-strict'), { code: 0, stdout: 'ran\n' })
  t.match(await run('too few', '-fstab-strict'), {
    code: 255,
    stdout: '',
    stderr: /fstab:1: too few.*nothing was run/s,
  })
  t.match(await run('tmpfs /mnt tmpfs', '-fstab-strict'), { code: 0, stdout: 'ran\n', stderr: '' })
})

t.test('a dump', async t => {
  const cpud = await startCpud(t, 'unix', { files: 'fuse' })
  const file = path.join(temporaryDirectory(t), 'dump')
  const { stderr } = await cpu(cpud, ['true'], { flags: ['-dump', file], env: { SECRET: 'do-not-tell' } })
  t.equal(stderr, '')
  const text = fs.readFileSync(file, 'utf8')
  for (const pattern of [/^\S+Z offering /m, /^\S+Z ssh: .*env: SECRET=/m, /^\S+Z fuse: /m])
    t.match(text, pattern)
  t.notMatch(text, /do-not-tell/)
  t.equal(fs.statSync(file).mode & 0o777, 0o600)
  const refused = await cpu(cpud, ['true'], { flags: ['-dump', '/no/such/file'] })
  t.match(refused, { code: 2, stderr: /cannot write to \/no\/such\/file \(-dump\)/ })
})
