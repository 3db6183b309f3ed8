// How many requests each operation on files costs, by type, in a session of a real guest: fewer requests beat faster
// ones. `operations.c` does one operation after the other, with markers between them; `-dbg9p` shows what its kernel
// asked for. The counts are the same in every run, so they are bounds: whoever lowers one, writes it down here.
import { execFile } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { packageRoot } from '../../src/version.js'
import { REQUEST_BOUNDS, type RequestBounds } from '../conformance/request-bounds.js'
import { cpu } from '../fixtures/cpu-command.js'
import { guestForFile } from '../fixtures/guest.js'

const KIB = 1024
/** Requests by type, in the order in which the types were first seen. */
type Counts = Map<string, number>

const guest = await guestForFile({ name: 'requests' })
const directory = await scene(t)

/** What operations.c works on. */
async function scene(t: Test): Promise<string> {
  const made = fs.mkdtempSync('/tmp/requests-')
  t.teardown(() => fs.rmSync(made, { recursive: true, force: true }))
  const at = (name: string) => path.join(made, name)
  for (const name of ['directory', 'twenty']) fs.mkdirSync(at(name))
  for (const name of ['file', 'directory/file']) fs.writeFileSync(at(name), Buffer.alloc(100))
  for (let number = 0; number < 20; number++) fs.writeFileSync(at(`twenty/${number}`), '')
  fs.writeFileSync(at('large'), Buffer.alloc(KIB * KIB, 1))
  for (const program of ['operations', 'nothing']) {
    const source = path.join(packageRoot(), 'test/conformance', `${program}.c`)
    await promisify(execFile)('gcc', ['-static', '-o', at(program), source])
  }
  return made
}

/** Runs a command with -dbg9p; its requests between one marker and the next, under the marker's name. */
async function requests(command: readonly string[], flags: readonly string[]): Promise<Map<string, Counts>> {
  const { code, stdout, stderr } = await cpu(guest, command, { cwd: directory, flags: ['-dbg9p', ...flags] })
  const traced = stderr.split('\n').map(line => /> (T[a-z]+) tag=\d+(.*)/.exec(line))
  t.same([code, stdout.toString()], [0, ''], code === 0 ? 'it ran' : stderr.slice(-1000))
  const sections = new Map<string, Counts>()
  let current: Counts = new Map()
  sections.set('before', current)
  for (const request of traced) {
    if (request === null) continue
    const [, type = '', fields = ''] = request
    const marker = /"MARKER-([^"]*)"/.exec(fields)?.[1]
    if (marker === undefined) {
      current.set(type, (current.get(type) ?? 0) + 1)
      continue
    }
    current = new Map()
    sections.set(marker, current)
  }
  sections.delete('-')
  return sections
}

function total(counts: Counts): number {
  return [...counts.values()].reduce((sum, count) => sum + count, 0)
}

function row(name: string, counts: Counts): string {
  const types = [...counts].map(([type, count]) => (count === 1 ? type : `${count} ${type}`))
  return `${name.padEnd(30)} ${String(total(counts)).padStart(4)}  ${types.join(', ')}`
}

/** The guest's `uname -r`, by its first two numbers. */
async function kernel(): Promise<string> {
  const { stdout } = await cpu(guest, ['uname', '-r'])
  return /^\d+\.\d+/.exec(stdout.toString())?.[0] ?? ''
}

const release = await kernel()

/** Holds counts to those of this kernel; one that nobody has counted yet must not need more than the worst known. */
function hold(
  t: Test,
  seen: ReadonlyMap<string, Counts>,
  pick: (bounds: RequestBounds) => Readonly<Record<string, number>>,
) {
  const known = REQUEST_BOUNDS[release]
  t.comment(
    known === undefined ? `nobody has counted for Linux ${release} yet` : `as counted for Linux ${release}`,
  )
  for (const [name, counts] of seen) {
    const all = (known === undefined ? Object.values(REQUEST_BOUNDS) : [known]).map(
      bounds => pick(bounds)[name],
    )
    const bound = Math.max(...all.map(count => count ?? 0))
    t.ok(total(counts) <= bound, `${name}: ${total(counts)} requests, at most ${bound}`)
  }
}

t.test('single operations', async t => {
  const seen = await requests([path.join('/tmp/cpu', directory, 'operations')], ['-namespace', 'none'])
  seen.set('mount and start', seen.get('before')!)
  seen.delete('before')
  for (const [name, counts] of seen) t.comment(row(name, counts))
  hold(t, seen, bounds => bounds.operations)
})

t.test('a session that does nothing', async t => {
  const program = path.join('/tmp/cpu', directory, 'nothing')
  const bare = await requests([program], ['-namespace', 'none'])
  const seen = new Map([['a static program, nothing bound', bare.get('before')!]])
  const whole = await requests(['true'], [])
  for (const [name, counts] of [...seen, ['cpu host true', whole.get('before')!] as const])
    t.comment(row(name, counts))
  hold(t, seen, bounds => bounds.sessions)
  // How many libraries `true` has, and where, is this host's affair.
  t.ok(total(whole.get('before')!) < 200, 'cpu host true')
})
