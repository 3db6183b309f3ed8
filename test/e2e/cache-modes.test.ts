// What each cache mode of 9P and each cache policy of FUSE promises, in a guest whose kernel has them all: changes made
// here are seen there, what is written there is here when the session is over, programs that map and lock files work,
// and unmounting is clean.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { MODES, type Mode } from '../../scripts/bench/cache-table.js'
import { cpu, type Target } from '../fixtures/cpu-command.js'
import { startGuest } from '../fixtures/guest.js'
import { type PythonThere, pythonThere } from '../fixtures/python-there.js'
import { realKernel } from '../qemu/real-kernel.js'

/** The length of a file whose tail a cached read once filled with zeros. */
const ODD_LENGTH = 12_943
const FILES = 100

const DEFINITIONS = `
import hashlib
def digest(path):
    data = get(path)
    return f'{len(data)} {hashlib.sha256(data).hexdigest()}'
def overwrite(path, at, data):
    with open(path, 'r+b', buffering=0) as file: file.seek(at); return file.write(data)
def two_appenders(path):
    with open(path, 'ab', buffering=0) as one, open(path, 'ab', buffering=0) as two:
        for _ in range(50): one.write(b'one,'); two.write(b'two,')
def change_mapped(path):
    with open(path, 'r+b') as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[-6:] = b'mapped'
        return 'changed'
database = None
def fill_database(path, journal):
    global database
    database = sqlite3.connect(path, isolation_level=None)
    mode, = database.execute('pragma journal_mode=' + journal).fetchone()
    database.execute('create table rows (n integer, text text)')
    for start in range(0, 300, 100):
        database.execute('begin')
        database.executemany('insert into rows values (?, ?)', ((n, 'x' * 1000) for n in range(start, start + 100)))
        database.execute('commit')
    other = sqlite3.connect(path)
    check, = other.execute('pragma integrity_check').fetchone()
    count, = other.execute('select count(*) from rows').fetchone()
    return mode, check, count
`

function flagsOf({ protocol, cache }: Mode): string[] {
  return ['-files', protocol, '-cache', cache]
}

/** Those that do not promise to show what changes here. */
const BLIND = new Set(['loose', 'always'])
/** A change is told after it was made. */
const TOLD_WITHIN_MS = 10_000

const own = await realKernel()
const hasAllModes = own.release.localeCompare('6.4', 'en', { numeric: true }) >= 0
const recent = hasAllModes ? own : await realKernel('backports/amd64')

/** Below /tmp, which a session has of its own: the hard case. */
function workDirectory(test: Pick<Test, 'teardown'>): string {
  const directory = fs.mkdtempSync('/tmp/cache-')
  test.teardown(() => fs.rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** Bytes of which each page differs from every other, and each seed from the others. */
function patterned(length: number, seed = 0): Buffer {
  return Buffer.from(Array.from({ length }, (_, at) => (at * 7 + seed) % 251))
}

t.test(`on Linux ${recent.release}`, async t => {
  const guest = await startGuest(t, { name: 'recent', kernel: recent.image })
  for (const mode of MODES) {
    await t.test(flagsOf(mode).join(' '), async t => {
      const cwd = workDirectory(t)
      for (const name of ['changing', 'log', 'mapped'])
        fs.writeFileSync(path.join(cwd, name), patterned(ODD_LENGTH))
      fs.writeFileSync(path.join(cwd, 'overwritten'), patterned(200_000))
      const python = pythonThere(t, guest, { cwd, flags: flagsOf(mode), definitions: DEFINITIONS })
      await t.test('what changes here is seen there', t => seesChanges(t, { mode, cwd, guest, python }))
      const mapping = await writeThere(python)
      const { code, stderr } = await python.leave()
      t.same([code, stderr], [0, ''])
      t.test('what was written there is here when the session is over', t => checkWritten(t, cwd))

      const mapsShared = mode.protocol === 'fuse' || mode.cache === 'mmap' || mode.cache === 'loose'
      t.equal(mapping, mapsShared ? 'changed' : 'EINVAL', 'a shared mapping')
      const mapped = patterned(ODD_LENGTH)
      if (mapsShared) mapped.write('mapped', ODD_LENGTH - 6)
      t.ok(fs.readFileSync(path.join(cwd, 'mapped')).equals(mapped), 'what was changed by it')
    })
  }

  for (const protocol of ['9p', 'fuse'])
    await t.test(`databases by ${protocol}, as it caches without being told`, async t => {
      const cwd = workDirectory(t)
      const python = pythonThere(t, guest, { cwd, flags: ['-files', protocol], definitions: DEFINITIONS })
      for (const journal of ['wal', 'delete', 'truncate']) {
        t.equal(await python.ask(`fill_database('${journal}.db', '${journal}')`), `('${journal}', 'ok', 300)`)
        const source = `
import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute('select count(*), sum(n), sum(length(text)) from rows').fetchone())`
        const { stdout } = await promisify(execFile)('python3', ['-c', source, `${journal}.db`], { cwd })
        t.equal(stdout, '(300, 44850, 300000)\n', `${journal}, read here while it is open there`)
      }
      t.equal((await python.leave()).code, 0)
    })

  await t.test('no kernel complains', t => checkKernelLog(t, guest))
})

interface Scene {
  readonly mode: Mode
  readonly cwd: string
  readonly guest: Target
  readonly python: PythonThere
}

async function seesChanges(t: Test, { mode, cwd, guest, python }: Scene): Promise<void> {
  const file = path.join(cwd, 'changing')
  /** Whether Python there reads what is here, at once or when it was told. */
  const isSame = async () => {
    const here = fs.readFileSync(file)
    const digest = createHash('sha256').update(here).digest('hex')
    const end = performance.now() + (mode.cache === 'auto' ? TOLD_WITHIN_MS : 0)
    for (;;) {
      if ((await python.ask("digest('changing')")) === `${here.length} ${digest}`) return true
      if (performance.now() > end) return false
    }
  }
  t.ok(await isSame(), 'as the session found it')
  const changes: Record<string, () => void> = {
    grown: () => fs.appendFileSync(file, patterned(70_000, 1)),
    'of the same size': () => fs.writeFileSync(file, patterned(fs.statSync(file).size, 2)),
    'shrunk to an odd length': () => fs.truncateSync(file, ODD_LENGTH),
    'another of the name': () => {
      fs.writeFileSync(`${file}.new`, patterned(ODD_LENGTH, 3))
      fs.renameSync(`${file}.new`, file)
    },
    'grown within a page': () => fs.appendFileSync(file, 'tail'),
  }
  for (const [change, make] of Object.entries(changes)) {
    make()
    // What these give up is not promised to be stale: a kernel may forget at any time.
    if (!BLIND.has(mode.cache)) t.ok(await isSame(), change)
  }
  fs.writeFileSync(path.join(cwd, 'new'), patterned(ODD_LENGTH, 4))
  const tail = patterned(ODD_LENGTH, 4).toString('hex')
  t.equal(await python.ask("get('new').hex()"), tail, 'a file that is new, to its last byte')
  if (!BLIND.has(mode.cache)) return
  const { stdout } = await cpu(guest, ['cat', 'changing'], { cwd, flags: flagsOf(mode) })
  t.ok(stdout.equals(fs.readFileSync(file)), 'all of it by another session')
}

/** Nothing is closed with care, and nothing synced. Returns what became of a shared mapping. */
async function writeThere(python: PythonThere): Promise<string> {
  await python.ask(`[put(str(n), bytes([n]) * (n * 499 + 1)) for n in range(${FILES})]`)
  await python.ask("put('big', bytes(range(256)) * 8192)")
  await python.ask("overwrite('overwritten', 99_999, b'within')")
  await python.ask("[put('log', b'%d,' % n * 700, 'ab') for n in range(5)]")
  await python.ask("two_appenders('log')")
  return python.ask("change_mapped('mapped')")
}

async function checkWritten(t: Test, cwd: string): Promise<void> {
  const read = (name: string) => fs.readFileSync(path.join(cwd, name))
  const names = Array.from({ length: FILES }, (_, n) => n)
  const incomplete = names.filter(n => !read(String(n)).equals(Buffer.alloc(n * 499 + 1, n)))
  t.same(incomplete, [], 'many files')
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  t.ok(read('big').equals(Buffer.alloc(2 << 20, bytes)), 'a large one')
  const overwritten = patterned(200_000)
  overwritten.write('within', 99_999)
  t.ok(read('overwritten').equals(overwritten), 'a few bytes within another')
  const appended = [0, 1, 2, 3, 4].map(n => `${n},`.repeat(700)).join('') + 'one,two,'.repeat(50)
  t.ok(read('log').equals(Buffer.concat([patterned(ODD_LENGTH), Buffer.from(appended)])), 'what was appended')
}

/** The log of a kernel on which sessions have ended, and their files were unmounted. */
async function checkKernelLog(t: Test, guest: Target): Promise<void> {
  const { code, stdout } = await cpu(guest, ['dmesg'])
  t.equal(code, 0)
  const lines = stdout.toString().split('\n')
  t.match(lines[0], /Linux version/)
  // A processor that gets no time says so as well, which is nobody's mistake.
  const complaint =
    /kernel BUG|BUG: (?!soft lockup|workqueue lockup)|WARNING: CPU|Oops|refcount_t|page allocation failure|9p.*(error|fail)/
  t.same(
    lines.filter(line => complaint.test(line)),
    [],
  )
}

t.test(`on Linux ${own.release}`, async t => {
  if (hasAllModes) return t.comment('which has all modes as well')
  const guest = await startGuest(t, { name: 'older', kernel: own.image })
  const remedy = 'use -cache mmap or none, or boot a newer kernel'
  for (const mode of ['readahead', 'loose']) {
    const { code, stdout, stderr } = await cpu(guest, ['true'], { flags: ['-cache', mode] })
    t.same([code, stdout.toString()], [255, ''])
    t.equal(stderr, `cpud: -cache ${mode} needs Linux 6.4, and this is ${own.release} (${remedy})\n`)
  }
  for (const mode of ['none', 'mmap']) {
    const cwd = workDirectory(t)
    const { code, stderr } = await cpu(
      guest,
      ['dd', 'if=/dev/zero', 'of=file', 'bs=999', 'count=9', 'status=none'],
      {
        cwd,
        flags: ['-cache', mode],
      },
    )
    t.same([code, stderr, fs.readFileSync(path.join(cwd, 'file')).length], [0, '', 8991], mode)
  }
  await checkKernelLog(t, guest)
})
