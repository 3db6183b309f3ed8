// A user's files in a guest, as programs use them there, looked at from both sides; conformance.test.ts has each thing
// that files can do. The directory is below /tmp, which a session has of its own: the hard case.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { packageRoot } from '../../src/version.js'
import { type CommandOptions, collect, cpu, type Result, startCpu } from '../fixtures/cpu-command.js'
import { guestForFile } from '../fixtures/guest.js'

const fixtures = path.join(packageRoot(), 'test/fixtures')
const guest = await guestForFile({ name: 'files' })

/** A directory of the test's own below /tmp, whatever TMPDIR says. */
function workDirectory(test: Pick<Test, 'teardown'>, suffix = ''): string {
  const made = fs.mkdtempSync('/tmp/files-')
  test.teardown(() => fs.rmSync(made, { recursive: true, force: true }))
  if (suffix === '') return made
  const directory = path.join(made, suffix)
  fs.mkdirSync(directory)
  return directory
}

function run(
  cwd: string,
  command: readonly string[],
  options: CommandOptions & { flags?: string[] } = {},
): Promise<Result> {
  return cpu(guest, command, { cwd, timeoutMs: 550_000, ...options })
}

t.test('programs from the client run there and do their work', async t => {
  const cwd = workDirectory(t)
  const project: Record<string, string> = {
    Makefile: `prog: main.o libname.so
	gcc -o $@ main.o -L. -lname -Wl,-rpath,'$$ORIGIN'
main.o: main.c name.h sum.h
	gcc -c -o $@ main.c
libname.so: name.c name.h
	gcc -shared -fPIC -o $@ name.c
`,
    'main.c': `#include <stdio.h>
#include "name.h"
#include "sum.h"
int main(void) { return printf("made by %s\\n", name()) < 0 ? 1 : sum(2, 3); }
`,
    'name.c': '#include "name.h"\nconst char *name(void) { return "gcc"; }\n',
    'name.h': 'const char *name(void);\n',
    'sum.h': 'static int sum(int a, int b) { return a + b; }\n',
  }
  for (const [name, text] of Object.entries(project)) fs.writeFileSync(path.join(cwd, name), text)
  const script = path.join('/tmp/cpu', fixtures, 'files-programs.sh')
  const { code, stdout, stderr } = await run(cwd, ['bash', script], { flags: ['-export', 'all'] })
  t.same([code, stderr], [0, ''])
  t.same(stdout.toString().split('\n'), [
    'bash runs',
    'python3 499500',
    'ok',
    'node true',
    'made by gcc',
    'prog: 5',
    "make: 'prog' is up to date.",
    'gcc -shared -fPIC -o libname.so name.c',
    "gcc -o prog main.o -L. -lname -Wl,-rpath,'$ORIGIN'",
    'first:tester',
    '',
  ])

  const here = promisify(execFile)
  t.equal(
    (await here('./prog', { cwd }).catch(error => error)).stdout,
    'made by gcc\n',
    'it runs here as well',
  )
  await here('git', ['-c', 'safe.directory=*', 'fsck', '--strict'], { cwd: path.join(cwd, 'clone') })
  t.same(fs.readFileSync(path.join(cwd, 'clone/prog')), fs.readFileSync(path.join(cwd, 'prog')))
})

/** A Python there that does one line at a time: it answers each with what the expression yields. */
function pythonThere(
  t: Test,
  cwd: string,
  flags: readonly string[],
): { ask(line: string): Promise<string>; leave(): Promise<Result> } {
  const source = `
import errno, fcntl, os, sys
for line in sys.stdin:
    try: print(eval(line), flush=True)
    except OSError as error: print(errno.errorcode[error.errno], flush=True)`
  const child = startCpu(guest, ['python3', '-c', source], { cwd, flags })
  t.teardown(() => child.kill('SIGKILL'))
  const result = collect(child, { timeoutMs: 550_000 })
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]()
  return {
    ask: async line => {
      child.stdin!.write(`${line}\n`)
      return (await lines.next()).value
    },
    leave: () => {
      child.stdin!.end()
      return result
    },
  }
}

/** Tries a lock by fcntl(2) in a process here. */
async function lockHere(file: string): Promise<string> {
  const source = `
import errno, fcntl, sys
try: fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB); print('taken')
except OSError as error: print(errno.errorcode[error.errno])`
  return (await promisify(execFile)('python3', ['-c', source, file])).stdout.trim()
}

// What neither may keep: by FUSE otherwise, changes are told a moment later and locks stay there.
for (const flags of [
  ['-files', '9p'],
  ['-files', 'fuse', '-cache', 'strict'],
])
  t.test(`both sides see what the other does while the session runs: ${flags.join(' ')}`, t =>
    seeEachOther(t, flags),
  )

async function seeEachOther(t: Test, flags: readonly string[]): Promise<void> {
  const cwd = workDirectory(t)
  const file = path.join(cwd, 'file')
  fs.writeFileSync(file, 'first')
  const there = pythonThere(t, cwd, flags)
  const contents = "open('file').read()"

  await t.test('a file changed here is another at its next open there', async t => {
    t.equal(await there.ask(contents), 'first')
    fs.writeFileSync(file, 'secnd')
    t.equal(await there.ask(contents), 'secnd', 'of the same size')
    fs.appendFileSync(file, ' and more')
    t.equal(await there.ask(contents), 'secnd and more', 'longer')
    fs.truncateSync(file, 3)
    t.equal(await there.ask(contents), 'sec', 'shorter')
    fs.writeFileSync(`${file}.new`, 'replaced')
    fs.renameSync(`${file}.new`, file)
    t.equal(await there.ask(contents), 'replaced', 'another file of the name')
    fs.unlinkSync(file)
    t.equal(await there.ask(contents), 'ENOENT')
    t.equal(await there.ask("os.path.exists('directory')"), 'False')
    fs.mkdirSync(path.join(cwd, 'directory'))
    t.equal(await there.ask("os.listdir('.')"), "['directory']")
    fs.chmodSync(path.join(cwd, 'directory'), 0o711)
    t.equal(await there.ask("oct(os.stat('directory').st_mode)"), '0o40711')
  })

  await t.test('what is written there is here at once', async t => {
    await there.ask("globals().update(f=open('file', 'w+')) or f.write('there') and f.flush()")
    t.equal(fs.readFileSync(file, 'utf8'), 'there')
    await there.ask('f.truncate(2)')
    t.equal(fs.statSync(file).size, 2)
  })

  await t.test('locks of fcntl(2) hold on both sides', async t => {
    const lock = 'fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)'
    t.equal(await lockHere(file), 'taken', 'and given back with the process')
    t.equal(await there.ask(lock), 'None')
    t.equal(await lockHere(file), 'EAGAIN')
    t.equal(await there.ask('fcntl.lockf(f, fcntl.LOCK_UN)'), 'None')
    t.equal(await lockHere(file), 'taken')

    const holder = spawn('python3', [
      '-c',
      'import fcntl, sys; f = open(sys.argv[1], "r+"); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()',
      file,
    ])
    await Promise.race([once(holder.stdout, 'data'), once(holder, 'exit')])
    t.equal(await there.ask(lock), 'EAGAIN')
    const waiting = there.ask('fcntl.lockf(f, fcntl.LOCK_EX)')
    holder.stdin.end()
    t.equal(await waiting, 'None', 'who waits is woken')
    t.equal(await lockHere(file), 'EAGAIN')
  })

  t.equal((await there.leave()).code, 0)
  t.equal(await lockHere(file), 'taken', 'the session took its lock with it')
}

for (const protocol of ['9p', 'fuse'])
  t.test(`-ro: nothing can be changed, all can be read, by ${protocol}`, t => readOnly(t, protocol))

async function readOnly(t: Test, protocol: string): Promise<void> {
  const cwd = workDirectory(t)
  fs.writeFileSync(path.join(cwd, 'file'), 'as it was')
  const script = `
    cat file; echo
    echo x > file; echo x > new; echo x >> file; rm file; mkdir d; mv file other; ln file other; ln -s a b
    chmod 600 file; touch file; truncate -s 0 file; mkfifo fifo; exit 3`
  const { code, stdout, stderr } = await run(cwd, ['sh', '-c', script], {
    flags: ['-ro', '-files', protocol],
    env: { LC_ALL: 'C' },
  })
  t.same([code, stdout.toString()], [3, 'as it was\n'])
  t.equal(stderr.match(/Read-only file system\n/g)?.length, 12, stderr)
  t.same(fs.readdirSync(cwd), ['file'])
  t.equal(fs.readFileSync(path.join(cwd, 'file'), 'utf8'), 'as it was')
}

t.test('the directory is the one in which the command was typed', async t => {
  const script = 'pwd; pwd -P; echo "$PWD"; echo here > file'
  for (const name of ['with space', 'tab\there', 'back\\slash', 'ä€', '-n', '#', 'a=b:c,d']) {
    const cwd = workDirectory(t, name)
    const { stdout, stderr } = await run(cwd, ['sh', '-c', script])
    t.same([stdout.toString(), stderr], [`${cwd}\n`.repeat(3), ''], JSON.stringify(name))
    t.equal(fs.readFileSync(path.join(cwd, 'file'), 'utf8'), 'here\n')
  }
  const link = path.join(workDirectory(t), 'link')
  const aim = workDirectory(t)
  fs.symlinkSync(aim, link)
  t.equal((await run(link, ['pwd'])).stdout.toString(), `${aim}\n`, 'where a link leads')
  t.equal((await run('/', ['pwd'])).stdout.toString(), '/tmp/cpu\n', "the root is the machine's own")
  t.equal((await run('/tmp', ['pwd'])).stdout.toString(), '/tmp/cpu/tmp\n', 'and so is /tmp')
  const shared = fs.mkdtempSync('/dev/shm/files-')
  t.teardown(() => fs.rmSync(shared, { recursive: true }))
  t.equal((await run(shared, ['pwd'])).stdout.toString(), `/tmp/cpu${shared}\n`, 'and so is /dev')
})
