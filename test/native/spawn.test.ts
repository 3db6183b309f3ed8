import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { openPty } from '../../src/native/pty.js'
import { run, runToEnd } from '../fixtures/run-program.js'

const bytes = (text: string) => Buffer.from(text)
const hexArguments = 'print join ",", map { unpack "H*", $_ } @ARGV'

t.test('arguments arrive byte for byte', async t => {
  const args = [
    'two words',
    `'single' "double"`,
    'line\nbreak',
    '',
    Buffer.from([0xff, 0xfe, 0x20, 0x80]),
    '$HOME `id` \\',
  ].map(argument => Buffer.from(argument))
  const { output } = await runToEnd(['/usr/bin/perl', '-e', hexArguments, '--', ...args])
  t.equal(output, args.map(argument => argument.toString('hex')).join(','))
})

t.test('the environment is exactly what was given', async t => {
  const env = [bytes('A=1'), bytes('B=two words\nand lines'), Buffer.from([0x43, 0x3d, 0xff])]
  const { program, output, outcome, marker } = run(['/usr/bin/env', '-0'], { env })
  t.strictSame(await outcome, { code: 0 })
  await program.end()
  const expected = Buffer.concat([...env, bytes(marker)].flatMap(variable => [variable, Buffer.alloc(1)]))
  t.same(await output, expected)
})

t.test('exit codes are exact', async t => {
  for (const code of [0, 1, 2, 3, 64, 125, 126, 127, 128, 130, 254, 255]) {
    t.strictSame((await runToEnd(`exit ${code}`)).outcome, { code })
  }
})

t.test('death by a signal is told by name', async t => {
  t.strictSame((await runToEnd('kill -SEGV $$')).outcome, { signal: 'SIGSEGV' })
  t.strictSame((await runToEnd('kill -ABRT $$')).outcome, { signal: 'SIGABRT' })
})

t.test('signals reach the process group, also when sent before the start', async t => {
  const early = run('sleep 1000 & wait')
  early.program.signal('SIGTERM')
  t.strictSame(await early.outcome, { signal: 'SIGTERM' })
  await early.program.end()

  const stopped = run('kill -STOP $$; sleep 1000')
  stopped.program.on('started', () => stopped.program.signal('SIGHUP'))
  t.strictSame(await stopped.outcome, { signal: 'SIGHUP' })
  await stopped.program.end()
  stopped.program.signal('SIGTERM')
  t.throws(() => stopped.program.signal('SIGNOTHING'), { code: 'ERR_CPU_SPAWN_SIGNAL' })
})

t.test('what cannot be executed', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'spawn-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const plain = join(folder, 'plain')
  writeFileSync(plain, 'echo plain "$0" "$@"\n', { mode: 0o644 })

  const missing = await runToEnd([join(folder, 'missing')])
  t.match(missing.outcome, { stage: 'exec', exitCode: 127, error: { code: 'ENOENT', syscall: 'execve' } })

  const denied = await runToEnd([plain])
  t.match(denied.outcome, { stage: 'exec', exitCode: 126, error: { code: 'EACCES' } })

  const deniedThenMissing = await runToEnd(['plain'], { executables: [plain, '/nope/plain'].map(bytes) })
  t.match(deniedThenMissing.outcome, { exitCode: 126, error: { code: 'EACCES' } })

  // mkdtemp's is closed to others: nobody can tell what is in it
  const closed = await runToEnd(['plain'], {
    executables: ['/nope/plain', plain].map(bytes),
    credentials: { uid: 12345, gid: 12345, groups: [] },
  })
  t.match(closed.outcome, { exitCode: 127, error: { code: 'ENOENT' } })
})

t.test('candidates are tried in order, and a script without #! is run by sh', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'spawn-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const script = join(folder, 'script')
  writeFileSync(script, 'echo "$0" "$#" "$1"\n', { mode: 0o755 })
  const executables = [join(folder, 'missing'), join(script, 'not-a-directory'), script, '/bin/false']
  const { output, outcome } = await runToEnd(['name', 'one argument'], {
    executables: executables.map(bytes),
  })
  t.strictSame(outcome, { code: 0 })
  t.equal(output, `${script} 1 one argument\n`)
})

t.test('the first working directory that exists is used', async t => {
  const found = await runToEnd('pwd', { workingDirectories: ['/nope', '/usr', '/etc'].map(bytes) })
  t.equal(found.output, '/usr\n')
  const none = await runToEnd('pwd', { workingDirectories: ['/nope', '/nada'].map(bytes) })
  t.match(none.outcome, { stage: 'chdir', exitCode: 125 })
  t.match((none.outcome as { error: Error }).error.message, /^ENOENT: .*, chdir \/nope$/)
})

t.test('credentials', async t => {
  const credentials = { uid: 12345, gid: 23456, groups: [34567, 45678] }
  const { output } = await runToEnd('id -u; id -g; id -G; grep Uid /proc/self/status', { credentials })
  t.equal(output, '12345\n23456\n23456 34567 45678\nUid:\t12345\t12345\t12345\t12345\n')
})

t.test('nothing is inherited but stdin, stdout and stderr', async t => {
  const inherited = openSync('/etc/passwd', 'r')
  const { output } = await runToEnd(['/bin/ls', '/proc/self/fd'])
  // 3 is the directory that ls reads.
  t.equal(output, '0\n1\n2\n3\n', `not ${inherited}`)
  const state = await runToEnd('umask; grep -E "^Sig(Blk|Ign)" /proc/self/status')
  t.equal(state.output, '0022\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n')
})

t.test('stdin is read to its end', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'spawn-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'in'), 'some input')
  const out = openSync(join(folder, 'out'), 'w')
  const { outcome, program } = run('cat', { stdio: [openSync(join(folder, 'in'), 'r'), out, out] })
  t.strictSame(await outcome, { code: 0 })
  await program.end()
  await program.end()
  t.equal(readFileSync(join(folder, 'out'), 'utf8'), 'some input')
  t.throws(() => closeSync(out), { code: 'EBADF' }, 'closed by spawnProgram')
})

t.test('a controlling terminal', async t => {
  const { master, slaveFd, slavePath } = openPty({ rows: 24, columns: 80 })
  const { outcome, program } = run('tty; ps -o tty= -p $$; echo ready; exec sleep 1000', {
    stdio: [slaveFd, slaveFd, slaveFd],
    controllingTerminal: true,
  })
  let text = ''
  master.on('data', chunk => {
    text += chunk
    if (text.includes('ready')) master.write('\x03')
  })
  t.strictSame(await outcome, { signal: 'SIGINT' }, 'Ctrl-C comes through')
  await program.end()
  t.match(text, `${slavePath}\r\n${slavePath.slice('/dev/'.length)}`)
  master.destroy()
})

t.test('a terminal that is none', async t => {
  const { outcome } = await runToEnd('true', { controllingTerminal: true })
  t.match(outcome, { stage: 'terminal', exitCode: 125, error: { code: 'ENOTTY' } })
})

t.test('impossible requests are refused, and their descriptors closed', async t => {
  const refuses = (change: object) => {
    const stdin = openSync('/dev/null', 'r')
    t.throws(() => run(['/bin/true'], { stdio: [stdin, 1, 2], ...change }), {
      code: 'ERR_CPU_SPAWN_ARGUMENT',
    })
    t.equal(openSync('/dev/null', 'r'), stdin, 'the number is free again')
  }
  refuses({ argv: [] })
  refuses({ argv: [bytes('a\0b')] })
  refuses({ env: [bytes('A=\0')] })
  const twice = { fuseDevice: '/dev/fuse', fileConnectionFd: openSync('/dev/null', 'r') }
  t.throws(() => run(['/bin/true'], twice), { code: 'ERR_CPU_SPAWN_ARGUMENT' })
  t.throws(() => closeSync(twice.fileConnectionFd), { code: 'EBADF' })
})
