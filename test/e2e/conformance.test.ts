// Our conformance suite (test/conformance/) on one directory, seen in six ways from one guest: our 9P and our FUSE, each
// through ssh and straight over vsock, QEMU's virtio-9p, and virtiofs; and on this host itself, which says what the
// checks are worth. Then work as users do it, on three of our ways, looked at again from the other side.
//
// The direct way has a tmpfs of the guest for its files, since a guest's vsock leads to this host only where there is
// vhost-vsock; server, protocol and mount options are the same as through ssh.
import { execFile, execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { QEMU } from '../../qemu/probe.js'
import { findVirtiofsd } from '../../qemu/virtiofsd.js'
import { expectedFailures } from '../conformance/expected.js'
import {
  type ConformanceGuest,
  DIRECT_EXPORT,
  directly,
  flagsOf,
  inGuest,
  isDirect,
  isOwn,
  mountPoints,
  type OwnWay,
  PREPARED,
  PYTHON,
  SUITE,
  startConformanceGuest,
  WAYS,
  type Way,
} from '../conformance/guest.js'
import { below, SEEN_HERE } from '../conformance/seen-here.js'
import { CPU, collect, type Result } from '../fixtures/cpu-command.js'
import { spawnAsUser } from '../fixtures/spawn-as-user.js'

interface Outcome {
  readonly check: string
  readonly tells: unknown
  readonly error: string | null
  readonly ms: number
}

const WORKLOADS = path.join(path.dirname(SUITE), 'workloads.sh')
const guest = await startConformanceGuest(t)
const { directory } = guest
const mounts = mountPoints(directory)
const table = new Map<Way, Map<string, Outcome>>()

function outcomes(stdout: string): Map<string, Outcome> {
  const lines = stdout.split('\n').filter(line => line.startsWith('{'))
  return new Map(lines.map(line => JSON.parse(line) as Outcome).map(outcome => [outcome.check, outcome]))
}

function runSuite(way: Way): Promise<Pick<Result, 'code' | 'stdout' | 'stderr'>> {
  if (way === 'host') return promisified([PYTHON, SUITE, directory, way])
  if (!isOwn(way)) return inGuest(t, guest, [PYTHON, SUITE, mounts[way], way])
  const flags = flagsOf(way)
  if (!isDirect(way)) return inGuest(t, guest, [PYTHON, SUITE, mounts.own, way], { flags })
  const work = {
    before: PREPARED,
    command: `${PYTHON} ${SUITE} /tmp/cpu${DIRECT_EXPORT} ${way}`,
    after: 'exec {held[1]}>&- && wait',
  }
  return directly(t, guest, work, flags)
}

async function promisified([command = '', ...args]: string[]): Promise<
  Pick<Result, 'code' | 'stdout' | 'stderr'>
> {
  const { stdout, stderr } = await promisify(execFile)(command, args, { encoding: 'buffer' })
  return { code: 0, stdout, stderr: stderr.toString() }
}

const release = (await inGuest(t, guest, ['uname', '-r'])).stdout.toString().trim()

for (const way of WAYS) {
  t.test(`the suite: ${way}`, async t => {
    const { code, stdout, stderr } = await runSuite(way)
    const seen = outcomes(stdout.toString())
    table.set(way, seen)
    t.equal(code, 0, stderr)
    if (isDirect(way)) t.match(stderr, wentDirectly(way))
    else t.equal(stderr, '')
    if (way !== 'host') t.same([...seen.keys()], [...table.get('host')!.keys()], 'every check has run')
    if (serverIsKnown(way)) hold(t, way, seen)
    else
      t.comment(
        'this version of the server is not the one that expected.ts knows: its column says what it does',
      )
    if (!isDirect(way)) lookFromHere(t, way, seen)
  })
}

/** What `cpu -v` says. */
function wentDirectly(way: Way): RegExp {
  const protocol = way === '9p-direct' ? '9P' : 'FUSE'
  return new RegExp(`has our files, by ${protocol}, directly from vsock/1:17010`)
}

/** Others' servers get better without us: what is expected of them is what those of Debian 12 do. */
function serverIsKnown(way: Way): boolean {
  if (way === 'virtiofs') return findVirtiofsd()?.kind === 'c'
  return way !== 'virtio-9p' || / 7\.2\./.test(execFileSync(QEMU, ['--version']).toString())
}

/** What is known to fail must, and nothing else may. */
function hold(t: Test, way: Way, seen: ReadonlyMap<string, Outcome>): void {
  const expected = expectedFailures(way, release)
  for (const [name, { error }] of seen) {
    const reason = expected.get(name)
    if (reason === undefined) t.equal(error, null, name)
    else t.not(error, null, `${name} fails: ${reason}`)
  }
}

function lookFromHere(t: Test, way: Way, seen: ReadonlyMap<string, Outcome>): void {
  for (const [name, look] of Object.entries(SEEN_HERE)) {
    const outcome = seen.get(name)
    if (outcome?.error !== null) continue
    t.test(`${name}, seen from here`, async t =>
      look(t, below(path.join(directory, way)), outcome.tells, way),
    )
  }
}

t.test('the table', async t => {
  const names = [...table.get('host')!.keys()]
  const width = Math.max(...names.map(name => name.length)) + 2
  const line = (name: string, cells: readonly string[]) =>
    t.comment(name.padEnd(width) + cells.map(cell => cell.padEnd(13)).join(''))
  line(`Linux ${release}`, WAYS)
  for (const name of names)
    line(
      name,
      WAYS.map(way => cell(table.get(way)?.get(name))),
    )
  const total = (way: Way) => [...(table.get(way)?.values() ?? [])].reduce((sum, { ms }) => sum + ms, 0)
  line(
    'seconds',
    WAYS.map(way => (total(way) / 1000).toFixed(0)),
  )
  for (const way of WAYS)
    for (const [name, reason] of expectedFailures(way, release)) t.comment(`${way}: ${name}: ${reason}`)
  t.equal(table.size, WAYS.length)
})

function cell(outcome: Outcome | undefined): string {
  if (outcome === undefined) return 'not run'
  if (outcome.error !== null) return 'FAILS'
  return typeof outcome.tells === 'string' && outcome.tells.length < 13 ? outcome.tells : 'ok'
}

t.test(
  'what the whole of a client is: its devices stay its own, its file systems are told by their sizes',
  async t => {
    const source = `
import errno, json, os
try: told = os.read(os.open('/tmp/cpu/dev/null', os.O_RDONLY), 1)
except OSError as error: told = errno.errorcode[error.errno]
root = os.statvfs('/tmp/cpu')
print(json.dumps([told, root.f_frsize * root.f_blocks, root.f_files]))`
    const { stdout, stderr } = await inGuest(t, guest, [PYTHON, '-c', source])
    const root = fs.statfsSync('/')
    t.same([JSON.parse(stdout.toString()), stderr], [['EACCES', root.bsize * root.blocks, root.files], ''])
  },
)

t.test(
  'a client without the rights of a superuser: what the local system refuses is refused there',
  async t => {
    const command = [PYTHON, SUITE, mounts.own, 'powerless', 'refused_by_the_other_side']
    fs.mkdirSync(path.join(directory, 'powerless/refused_by_the_other_side'), { recursive: true })
    const { stdout, stderr } = await powerless(guest, command)
    t.match(outcomes(stdout.toString()).get('refused_by_the_other_side'), { error: null }, stderr)
  },
)

/** With a client that has no capabilities, and so is root by name alone. */
function powerless(guest: ConformanceGuest, command: readonly string[]): Promise<Result> {
  const fstab = path.join(guest.machine.directory, 'fstab-tools')
  const client = [process.execPath, CPU, '-namespace', 'none', '-fstab', fstab, guest.host, ...command]
  const options = { cwd: directory, env: guest.env }
  return collect(spawnAsUser('setpriv', ['--bounding-set=-all', '--inh-caps=-all', ...client], options))
}

const WORK = [/^fio: 5 jobs clean$/m, /^git: 2120 objects clean$/m, /^make: 6070 from 21 objects$/m]

// FUSE past ssh differs in the stream alone, as 9P does.
for (const way of ['9p', '9p-direct', 'fuse'] as const)
  t.test(`fio, git and make, ${way}, and their files seen from the side that serves`, async t => {
    const { there, here } = isDirect(way) ? await workDirectly(t, way) : await workThroughSsh(t, way)
    for (const line of WORK) t.match(there, line)
    for (const line of WORK) t.match(here, line, 'seen from the side that serves')
  })

/** What the work says where it is done, and where its files are. */
interface Said {
  readonly there: string
  readonly here: string
}

async function workThroughSsh(t: Test, way: OwnWay): Promise<Said> {
  const work = path.join(directory, `work-${way}`)
  fs.mkdirSync(work)
  execFileSync('bash', [WORKLOADS, 'prepare', work])
  const there = `for part in fio git make; do bash ${WORKLOADS} $part /tmp/cpu${work} || exit; done`
  const { code, stdout, stderr } = await inGuest(t, guest, ['bash', '-c', there], { flags: flagsOf(way) })
  t.equal(code, 0, stderr)
  return {
    there: stdout.toString(),
    here: execFileSync('bash', [WORKLOADS, 'inspect', work]).toString(),
  }
}

async function workDirectly(t: Test, way: OwnWay): Promise<Said> {
  const work = {
    before: `mkdir -p ${way} && cd ${way} && bash ${WORKLOADS} prepare .`,
    command: `for part in fio git make; do bash ${WORKLOADS} $part /tmp/cpu${DIRECT_EXPORT}/${way} || exit; done; echo then`,
    after: `bash ${WORKLOADS} inspect . && cd .. && rm -r ${way}`,
  }
  const { code, stdout, stderr } = await directly(t, guest, work, flagsOf(way))
  t.equal(code, 0, stderr)
  t.match(stderr, wentDirectly(way))
  const [there = '', here = ''] = stdout.toString().split('then\n')
  return { there, here }
}
