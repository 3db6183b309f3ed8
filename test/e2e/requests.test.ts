// How many requests each operation on files costs, by type, in a session of a real guest: fewer requests beat faster
// ones. `operations.c` does one operation after the other, with markers between them; `-dbg9p` shows what its kernel
// asked for, by either protocol. The counts are the same in every run, so they are bounds: whoever lowers one, writes it down here.
import { execFile } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import type { FileProtocol } from '../../src/namespace/file-protocol.js'
import { packageRoot } from '../../src/version.js'
import { REQUEST_BOUNDS, type RequestBounds } from '../conformance/request-bounds.js'
import { cpu } from '../fixtures/cpu-command.js'
import { guestForFile } from '../fixtures/guest.js'

const KIB = 1024
/** Requests by type, in the order in which the types were first seen. */
type Counts = Map<string, number>

const guest = await guestForFile({ name: 'requests' })

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

/** Nobody waits for these, and they come when the kernel likes. */
const UNANSWERED: ReadonlySet<string> = new Set(['FORGET', 'BATCH_FORGET'])

/** Runs a command with -dbg9p; its requests between one marker and the next, under the marker's name. */
async function requests(
  t: Test,
  protocol: FileProtocol,
  cwd: string,
  command: readonly string[],
  flags: readonly string[],
): Promise<Map<string, Counts>> {
  const { code, stdout, stderr } = await cpu(guest, command, {
    cwd,
    flags: ['-dbg9p', '-files', protocol, ...flags],
  })
  const traced = stderr.split('\n').map(line => /cpu: (?:9p|fuse): > (\w+) (?:tag=)?\d+(.*)/.exec(line))
  t.same([code, stdout.toString()], [0, ''], code === 0 ? 'it ran' : stderr.slice(-1000))
  const sections = new Map<string, Counts>()
  let current: Counts = new Map()
  sections.set('before', current)
  for (const request of traced) {
    if (request === null) continue
    const [, type = '', fields = ''] = request
    if (UNANSWERED.has(type)) continue
    const marker = /"MARKER-([^"]*)"/.exec(fields)?.[1]
    if (marker === undefined) {
      current.set(type, (current.get(type) ?? 0) + 1)
      continue
    }
    current = new Map()
    sections.set(marker, current)
  }
  for (const name of sections.keys()) if (name.startsWith('-')) sections.delete(name)
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
  protocol: FileProtocol,
  seen: ReadonlyMap<string, Counts>,
  pick: (bounds: RequestBounds) => Readonly<Record<string, number>>,
) {
  const all = REQUEST_BOUNDS[protocol]
  const known = all[release]
  t.comment(
    known === undefined ? `nobody has counted for Linux ${release} yet` : `as counted for Linux ${release}`,
  )
  for (const [name, counts] of seen) {
    const bounds = (known === undefined ? Object.values(all) : [known]).map(bounds => pick(bounds)[name])
    const bound = Math.max(...bounds.map(count => count ?? 0))
    t.comment(row(name, counts))
    t.ok(total(counts) <= bound, `${name}: ${total(counts)} requests, at most ${bound}`)
  }
}

for (const protocol of ['9p', 'fuse'] as const) {
  t.test(`single operations, by ${protocol}`, async t => {
    const directory = await scene(t)
    const program = path.join('/tmp/cpu', directory, 'operations')
    const seen = await requests(t, protocol, directory, [program], ['-namespace', 'none'])
    seen.set('mount and start', seen.get('before')!)
    seen.delete('before')
    hold(t, protocol, seen, bounds => bounds.operations)
  })

  t.test(`a session that does nothing, by ${protocol}`, async t => {
    const directory = await scene(t)
    const program = path.join('/tmp/cpu', directory, 'nothing')
    const bare = await requests(t, protocol, directory, [program], ['-namespace', 'none'])
    hold(
      t,
      protocol,
      new Map([['a static program, nothing bound', bare.get('before')!]]),
      bounds => bounds.sessions,
    )
    // How many libraries `true` has, and where, is this host's affair.
    const whole = await requests(t, protocol, directory, ['true'], [])
    t.comment(row('cpu host true', whole.get('before')!))
    t.ok(total(whole.get('before')!) < 200, 'cpu host true')
  })
}
