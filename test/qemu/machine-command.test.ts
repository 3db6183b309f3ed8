// Commands in a machine from code, all in one real guest, which panics in the end.

import { once } from 'node:events'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { CommandError } from '../../qemu/index.js'
import { guestForFile } from '../fixtures/guest.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'
import { realKernel } from './real-kernel.js'

await realKernel()
const { machine: vm } = await guestForFile({ memoryMiB: 512 })

t.test('output, exit codes and signals', async t => {
  t.match(await vm.run(['uname', '-s']), {
    exitCode: 0,
    signal: undefined,
    stdout: 'Linux\n',
    stderr: '',
    kernelLog: { source: 'guest', findings: [] },
  })
  t.match(await vm.run(['sh', '-c', 'echo no >&2; exit 3']), { exitCode: 3, stdout: '', stderr: 'no\n' })
  t.match(await vm.run(['sh', '-c', 'kill -TERM $$']), { exitCode: 143, signal: 'SIGTERM' })
  const missing = await vm.run(['no-such-command'])
  t.match(missing, { exitCode: 127, stderr: /not found/ })
  const { stdout } = await vm.run(['printf', '\\377'], { encoding: 'buffer' })
  t.strictSame(stdout, Buffer.from([0xff]))
})

t.test('input, variables, directory, namespace and fstab', async t => {
  const directory = temporaryDirectory(t)
  writeFileSync(join(directory, 'mine'), 'mine\n')
  mkdirSync(join(directory, 'there'))
  t.match(await vm.run(['cat'], { stdin: 'words' }), { stdout: 'words' })
  t.match(await vm.run(['cat'], { stdin: Readable.from(['a', 'b']) }), { stdout: 'ab' })
  t.match(await vm.run(['cat']), { stdout: '' }, 'nothing to read by default')
  const env = { PATH: process.env['PATH'], GREETING: 'hello' }
  t.match(await vm.run(['sh', '-c', 'echo $GREETING $PWD; cat mine'], { cwd: directory, env }), {
    stdout: `hello ${directory}\nmine\n`,
  })
  const fstab = 'tmpfs there tmpfs size=64k'.replace('there', join(directory, 'there'))
  const seen = await vm.run(['sh', '-c', 'df --output=size there; echo x >new'], {
    cwd: directory,
    fstab,
    readOnly: true,
  })
  t.match(seen, { stdout: /^ *64$/m, stderr: /Read-only file system/, exitCode: 2 })
  const strict = { fstab: 'nosuch /mnt nosuchfs', fstabStrict: true }
  t.match(await vm.run(['true'], strict), { exitCode: 255, stderr: /nosuchfs/ })
  const without = { files: 'none', namespace: 'none', cwd: '/', env: {} } as const
  t.match(await vm.run(['/cpu-harness/node', '-p', '6 * 7'], without), { stdout: '42\n' })
})

t.test('streams, while it runs', async t => {
  const command = vm.spawn(['sh', '-c', 'while read line; do echo "<$line>"; done; echo over >&2; exit 7'])
  const said = text(command.stderr)
  for (const word of ['one', 'two']) {
    command.stdin.write(`${word}\n`)
    t.equal(String((await once(command.stdout, 'data'))[0]), `<${word}>\n`)
  }
  command.stdin.end()
  t.match(await command.ended, { exitCode: 7, signal: undefined })
  t.equal(await said, 'over\n')
  command.kill()
})

t.test('a signal, also one that comes before there is a command', async t => {
  const sleeping = vm.spawn(['sleep', '1000'])
  sleeping.kill('SIGINT')
  t.match(await sleeping.ended, { exitCode: 130, signal: 'SIGINT' })
  const heard = process.listenerCount('SIGINT')
  const command = vm.spawn(['sh', '-c', 'trap "exit 5" USR1; echo ready; while :; do sleep 0.1; done'])
  await once(command.stdout, 'data')
  t.equal(process.listenerCount('SIGINT'), heard, "this process's own signals are its own")
  command.kill('SIGUSR1')
  t.match(await command.ended, { exitCode: 5 })
})

t.test('output that nobody wants more of', async t => {
  const command = vm.spawn(['yes'])
  for await (const _ of command.stdout) break
  t.match(await command.ended, { exitCode: 141, signal: 'SIGPIPE' })
})

t.test('a terminal', async t => {
  t.match(await vm.run(['sh', '-c', 'tty; stty size; echo err >&2'], { tty: true }), {
    stdout: /^\/dev\/pts\/\d+\r\n24 80\r\nerr\r\n$/,
    stderr: '',
  })
})

t.test('several at a time', async t => {
  const all = await Promise.all([1, 2, 3].map(n => vm.run(['sh', '-c', `exit ${n}`])))
  t.strictSame(
    all.map(({ exitCode, kernelLog }) => [exitCode, kernelLog.source]),
    [1, 2, 3].map(code => [code, 'guest']),
  )
})

t.test('a failure, a limit and an abort reject', async t => {
  const failed = await vm.run(['sh', '-c', 'echo why; exit 4'], { reject: true }).catch(error => error)
  t.type(failed, CommandError)
  t.match(failed, {
    code: 'ERR_CPU_VM_COMMAND_FAILED',
    message: 'the command ended with exit code 4',
    outcome: { kind: 'exit', exitCode: 4 },
    output: { stdout: 'why\n' },
  })
  await t.rejects(vm.run(['sh', '-c', 'echo begun; sleep 1000'], { timeoutMs: 8_000 }), {
    code: 'ERR_CPU_VM_COMMAND_TIMEOUT',
    outcome: { kind: 'command-timed-out', limitMs: 8_000, guestAnswers: true },
    output: { stdout: 'begun\n' },
  })
  const controller = new AbortController()
  const { signal } = controller
  const running = vm.spawn(['sh', '-c', 'echo begun; sleep 1000'], { signal })
  await once(running.stdout, 'data')
  controller.abort(new Error('enough'))
  await t.rejects(running.ended, { message: 'enough' })
  await t.rejects(vm.run(['true'], { signal }), { message: 'enough' }, 'nor is it begun')
  const broken = new Readable({ read: () => broken.destroy(new Error('half of it')) })
  await t.rejects(vm.run(['cat'], { stdin: broken }), { message: 'half of it' })
  await t.rejects(vm.run([]), { code: 'ERR_CPU_USAGE' })
  await t.rejects(vm.run(['true'], { namespace: 'relative' }), { code: 'ERR_CPU_USAGE' })
})

t.test('a panic, and what is asked of a machine that is gone', async t => {
  const crash = 'echo begun; sleep 1; echo c >/proc/sysrq-trigger; sleep 1000'
  await t.rejects(vm.run(['sh', '-c', crash]), {
    code: 'ERR_CPU_VM_PANIC',
    message: /sysrq triggered crash/,
    outcome: { kind: 'panic', phase: 'command' },
    kernelLog: { source: 'console' },
    output: { stdout: 'begun\n' },
  })
  await t.rejects(vm.run(['true']), { code: 'ERR_CPU_VM_NOT_RUNNING' })
  await Promise.all([vm.close(), vm.close()])
  await vm.close()
  t.notOk(existsSync(vm.directory))
  await t.rejects(vm.run(['true']), { code: 'ERR_CPU_VM_UNKNOWN' })
})
