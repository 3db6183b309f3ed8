// The client where the addon cannot be loaded and the system says that it is macOS: what needs no calls of Linux
// works, and what needs them says so in one line.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { packageRoot, version } from '../../src/version.js'
import { CPU, collect } from '../fixtures/cpu-command.js'
import { startCpud } from '../fixtures/local-cpud.js'
import { NinepClient } from '../fixtures/ninep-client.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const fixture = (name: string) => join(packageRoot(), 'dist/test/fixtures', `${name}.js`)
const COMPILED = join(packageRoot(), 'dist/src/bin/cpu.js')

/** The addon named in the environment is the only one that is tried. */
function onDarwin(t: Test, script: string, ...args: string[]): ChildProcess {
  const child = spawn(process.execPath, ['--import', fixture('pretend-darwin'), script, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, CPU_HARNESS_ADDON: '/nonexistent' },
  })
  t.teardown(() => child.kill('SIGKILL'))
  return child
}

for (const [name, cpu] of [
  ['compiled', COMPILED],
  ['bundled', CPU],
] as const) {
  t.test(name, async t => {
    const said = await collect(onDarwin(t, cpu, '-version'))
    t.same([said.code, String(said.stdout), said.stderr], [0, `cpu ${version()}\n`, ''])
    const help = await collect(onDarwin(t, cpu, '-help'))
    t.equal(help.code, 0)
    t.match(String(help.stdout), /-dry-run/)
    const plan = await collect(onDarwin(t, cpu, '-dry-run', 'host.invalid', 'true', 'ü'))
    t.same([plan.code, plan.stderr], [0, ''])
    t.match(
      String(plan.stdout),
      /^# on host\.invalid:17010 .*\n# files served: \/.*\n[\s\S]*\ncd .*\n'?true'? 'ü'\n$/,
    )
    const vsock = await collect(onDarwin(t, cpu, '-9p=false', '-net', 'vsock', '3', 'true'))
    t.equal(vsock.code, 255)
    t.match(vsock.stderr, /^cpu: .* only Linux has, and this is darwin \(use tcp, .*\)\n$/)
    const tcp = await collect(onDarwin(t, cpu, '-9p=false', '-net', 'tcp', '-sp', '1', '127.0.0.1', 'true'))
    t.equal(tcp.code, 255)
    t.match(tcp.stderr, /^cpu: cannot connect to 127\.0\.0\.1:1: connection refused/)
  })
}

t.test('a session, with input, output and exit code', async t => {
  const { flags, host } = await startCpud(t, 'unix')
  const child = onDarwin(t, CPU, ...flags, host, 'sh', '-c', 'cat; echo "$0" >&2; exit 7', 'ü')
  child.stdin!.end('input')
  const { code, stdout, stderr } = await collect(child)
  t.same({ code, stdout: String(stdout), stderr }, { code: 7, stdout: 'input', stderr: 'ü\n' })
})

t.test('files are served by paths', async t => {
  const directory = temporaryDirectory(t)
  writeFileSync(join(directory, 'f'), 'content')
  symlinkSync('/etc', join(directory, 'out'))
  const serve = async (name: string, ...flags: string[]) => {
    const socketPath = join(directory, name)
    const child = onDarwin(t, fixture('serve-open-tree'), socketPath, directory, ...flags)
    const [line] = await once(child.stdout!, 'data')
    t.equal(String(line), 'PathTree\n')
    const client = new NinepClient(connect(socketPath))
    t.teardown(() => client.socket.destroy())
    await client.start()
    return { client, root: await client.attach() }
  }
  const { client, root } = await serve('s')
  const file = await client.open(root, 'f', 2)
  t.equal(String(await client.read(file)), 'content')
  await client.write(file, 'CON')
  t.equal(readFileSync(join(directory, 'f'), 'utf8'), 'CONtent')
  const created = await client.create(root, 'new')
  await client.write(created, 'new')
  t.equal(readFileSync(join(directory, 'new'), 'utf8'), 'new')
  t.same((await client.list(root)).map(({ name }) => name).sort(), ['.', '..', 'f', 'new', 'out', 's'])
  await t.rejects(client.walk(root, 'out', 'passwd'), { code: 'ENOENT' })
  await t.rejects(client.open(root, 'out'), { code: 'ELOOP' })
  const reader = await serve('r', 'ro')
  await t.rejects(reader.client.open(reader.root, 'f', 2), { code: 'EROFS' })
  t.equal(String(await reader.client.read(await reader.client.open(reader.root, 'f'))), 'CONtent')
})
