// Our `cpu` against u-root's Go server, played. A real mount of the files needs a kernel with 9P: test/e2e/go.test.ts.
import fs from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { NOFID } from '../../src/9p/messages.js'
import { CPU, collect, cpu, eventually, startCpu } from '../fixtures/cpu-command.js'
import { type GoCpud, type GoCpudOptions, startGoCpud } from '../fixtures/go-cpud.js'
import type { NinepClient } from '../fixtures/ninep-client.js'
import { startOnTerminal } from '../fixtures/on-terminal.js'
import { spawnAsUser } from '../fixtures/spawn-as-user.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

/** Without binds of the files: what would be bound is not mounted here. */
const unbound = ['-namespace', 'none']
const without = ['-9p=false']

/** What was asked, the user's own variables left out. */
function asked({ trace }: GoCpud): string[] {
  return trace
    .filter(line => !line.startsWith('env ') || /^env (CPU|LC_GLENDA)/.test(line))
    .map(line => line.replace(/-port9p=\d+/, '-port9p=P'))
}

/** A server with files that come as `onFiles` says, and a directory of them. */
async function withFiles(t: Test, onFiles: (files: NinepClient) => Promise<void>, options?: GoCpudOptions) {
  const root = temporaryDirectory(t)
  fs.writeFileSync(path.join(root, 'file'), 'content\n')
  const failures: unknown[] = []
  const server = await startGoCpud(t, {
    onFiles: files => onFiles(files).catch(failure => void failures.push(failure)),
    ...options,
  })
  const run = async (flags: string[] = []) => {
    const result = await cpu(server, ['echo', 'on'], { flags: [...unbound, '-root', root, ...flags] })
    t.same(failures, [])
    return result
  }
  return { server, root, run }
}

t.test('the trace: a way back, a session, variables, the command, the nonce', async t => {
  const { server, run } = await withFiles(t, async () => {})
  t.match(await run(), { code: 0, stdout: Buffer.from('on\n'), stderr: '' })
  t.same(asked(server), [
    'tcpip-forward 127.0.0.1:0, reply wanted',
    'session',
    'env CPUNONCE',
    'env CPU_FILE_PROTOCOLS',
    'env CPU_DIRECT_FILES',
    "exec -port9p=P 'echo' 'on', reply wanted",
    'nonce written',
  ])
  t.match(server.received.get('CPUNONCE'), /^[0-9a-f]{32}$/)
  const variables = server.trace.filter(line => line.startsWith('env '))
  t.ok(variables.includes('env PATH'))
  t.equal(new Set(variables).size, variables.length, 'each once')
})

t.test('an fstab goes by both names, and its lines have six fields', async t => {
  const server = await startGoCpud(t)
  const env = { CPU_FSTAB: 'tmpfs /mnt tmpfs\n' }
  await cpu(server, ['true'], { flags: ['-namespace', '/usr'], env, cwd: '/usr' })
  const fstab = server.received.get('CPU_FSTAB')!
  t.equal(server.received.get('LC_GLENDA_CPU_FSTAB'), fstab)
  t.match(fstab.split('\n'), ['#line 1 namespace', '/tmp/cpu/usr /usr none defaults,bind 0 0'])
})

t.test('the files, by the messages of the kernel of Go’s server', async t => {
  const { root, run } = await withFiles(t, async files => {
    const { msize, version } = await files.call('Tversion', { msize: 65536, version: '9P2000.L' }, 0xffff)
    t.same([msize, version], [65536, '9P2000.L'])
    const fid = files.newFid()
    await files.call('Tattach', { fid, afid: NOFID, uname: 'root', aname: '', nUname: 0xffffffff })
    t.equal((await files.attributes(fid)).qid.type, 0x80)
    const file = await files.open(fid, 'file')
    t.equal(String(await files.read(file)), 'content\n')
    const made = await files.create(fid, 'made')
    await files.write(made, 'written\n')
    await files.clunk(file, made, fid)
  })
  t.match(await run(['-v']), {
    code: 0,
    stderr: /has our files, by 9P, through ssh, since it knows of no FUSE/,
  })
  t.equal(fs.readFileSync(path.join(root, 'made'), 'utf8'), 'written\n')
})

t.test('-files fuse says what is wrong', async t => {
  const { run } = await withFiles(t, async files => {
    await files.start().catch(() => {})
    await new Promise(() => {}) // mount(2) waits as well
  })
  t.match(await run(['-files', 'fuse']), {
    code: 255,
    stderr:
      /^cpu: the other side takes files by 9P, and -files fuse does not allow it \(leave out -files fuse\)$/m,
  })
})

t.test('without files there is neither a way back nor a nonce, for which Go’s server would come', async t => {
  const server = await startGoCpud(t)
  const { code, stdout, stderr } = await cpu(server, ['printf', '%s|', 'a b', "it's", ''], { flags: without })
  t.same([code, String(stdout), stderr], [0, "a b|it's||", ''])
  t.same(asked(server), ['session', `exec 'printf' '%s|' 'a b' 'it'"'"'s' '', reply wanted`])
})

t.test('exit codes: what the server sends', async t => {
  const server = await startGoCpud(t)
  const code = async (server: GoCpud, script: string) =>
    (await cpu(server, ['sh', '-c', script], { flags: without })).code
  t.equal(await code(server, 'exit 0'), 0)
  t.equal(await code(server, 'exit 3'), 1, 'lost without a terminal')
  const byEnd = async (end: GoCpudOptions['end']) => code(await startGoCpud(t, { end: end! }), 'true')
  t.equal(await byEnd(channel => channel.exit(0xffffffff)), 255, 'Go’s -1')
  t.equal(await byEnd(channel => channel.exit('TERM', false, '')), 143)
  t.equal(await byEnd(() => {}), 255, 'neither status nor signal')
})

t.test('all output comes, also when no EOF does', async t => {
  const server = await startGoCpud(t)
  const { stdout } = await cpu(server, ['seq', '200000'], { flags: without })
  t.equal(stdout.length, 1_288_895)
})

t.test('signals: TERM and INT end the program, others are passed over', async t => {
  const server = await startGoCpud(t)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const script = `trap 'echo got it; exit 0' ${signal.slice(3)}; echo ready; while :; do sleep 0.05; done`
    const child = startCpu(server, ['sh', '-c', script], { flags: without })
    const result = collect(child)
    await new Promise(resolve => child.stdout!.once('data', resolve))
    child.kill('SIGUSR1')
    t.ok(await eventually(() => server.trace.at(-1) === 'signal USR1'))
    child.kill(signal)
    t.match(await result, { code: 0, stdout: Buffer.from('ready\ngot it\n') })
  }
})

t.test('a terminal: type, size, its changes, and the exit code', async t => {
  const server = await startGoCpud(t)
  const script = 'stty size; echo $TERM; until read line; do :; done; stty size; exit 3'
  const terminal = startOnTerminal(t, { ...server, flags: [...server.flags, ...without] }, [
    ...['sh', '-c', script],
  ])
  t.ok(await terminal.shows(/24 200\r\nxterm\r\n/))
  terminal.resize(40, 100)
  t.ok(await eventually(() => server.trace.at(-1) === 'window-change 40x100'))
  terminal.type('word\r')
  t.ok(await terminal.shows(/40 100\r\n/))
  t.equal(await terminal.ended, 3)
  t.same(
    asked(server).map(line => line.replace(/exec.*/, 'exec')),
    ['session', 'pty-req xterm 24x200, reply wanted', 'exec', 'window-change 40x100'],
  )
  t.ok(await terminal.isCooked())
})

t.test('no command is the user’s shell, which is named: Go’s server has none of its own', async t => {
  const server = await startGoCpud(t)
  const client = [process.execPath, CPU, ...server.flags, ...without, server.host]
  const child = spawnAsUser('env', ['-u', 'SHELL', ...client])
  t.match(await collect(child, { input: 'echo from $0' }), { code: 0, stdout: Buffer.from('from /bin/sh\n') })
})

t.test('$TMPDIR is where the namespace expects the mounts', async t => {
  const server = await startGoCpud(t)
  const env = { TMPDIR: '/no/such/directory' }
  const { code, stdout } = await cpu(server, ['sh', '-c', 'echo $TMPDIR; ls /tmp'], { flags: without, env })
  t.same([code, String(stdout)], [0, '/tmp\ncpu\nlocal\nmerge\nroot\n'])
})

t.test('variables of a session that we are in are not handed on', async t => {
  const server = await startGoCpud(t)
  const names = ['CPUNONCE', 'CPU_DIRECT_FILES', 'CPU_FILE_PROTOCOLS', 'CPU_9P_OPTIONS', 'CPU_EXACT_0']
  const env = Object.fromEntries(names.map(name => [name, 'of another session']))
  t.equal((await cpu(server, ['true'], { flags: without, env })).code, 0)
  t.same(asked(server), ['session', "exec 'true', reply wanted"])
})

t.test('the directory of the command, and what happens where it does not exist', async t => {
  const server = await startGoCpud(t)
  const run = (cwd: string) => cpu(server, ['pwd'], { flags: without, cwd })
  t.match(await run('/usr/lib'), { code: 0, stdout: Buffer.from('/usr/lib\n') })
  t.match(await run(temporaryDirectory(t)), { code: 1, stderr: /CPUD: your \$PWD .* is not in the remote/ })
})

t.test('a server without variables', async t => {
  const server = await startGoCpud(t, { refusesEnv: true })
  const { code, stdout } = await cpu(server, ['/bin/echo', 'on'], { flags: without })
  t.same([code, String(stdout)], [0, 'on\n'])
})

t.test('a server with IPv6 alone, and one without forwards', async t => {
  const { server, run } = await withFiles(t, async files => void (await files.start()), {
    forwardHosts: ['::1'],
  })
  t.match(await run(), { code: 0, stdout: Buffer.from('on\n') })
  t.match(asked(server), ['tcpip-forward 127.0.0.1:0, reply wanted', 'tcpip-forward ::1:0, reply wanted'])
  const closed = await startGoCpud(t, { forwardHosts: [] })
  t.match(await cpu(closed, ['true']), { code: 255, stderr: /^cpu: the server refuses a way back for the/ })
})

t.test('a server that never comes for the files', async t => {
  const server = await startGoCpud(t, { hangs: true })
  const { code, stderr } = await cpu(server, ['true'], { flags: [...unbound, '-timeout9p', '300ms'] })
  t.equal(code, 255)
  t.match(
    stderr,
    /^cpu: the other side did not come for the files within 0.3 s \(allow it more with -timeout9p 60s/,
  )
})

t.test('a server by the name of its system', async t => {
  const server = await startGoCpud(t, { software: 'linux amd64' })
  t.match(await cpu(server, ['echo', 'on'], { flags: without }), { code: 0, stdout: Buffer.from('on\n') })
})
