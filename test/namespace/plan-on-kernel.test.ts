// The printed plan, carried out by sh and mount(8) in a mount namespace of its own: what -dry-run shows is true.

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { formatPlan } from '../../src/namespace/format-plan.js'
import { sessionPlan } from '../../src/namespace/session-plan.js'

/** Carries out the plan of an fstab, then a command, and returns its output. */
function run(fstabText: string, command: string): string {
  const { steps, problems } = sessionPlan({ files: undefined, fstabText, release: '6.12.0' })
  t.same(problems, [])
  const script = `${formatPlan(steps)}${command}`
  return execFileSync('unshare', ['--mount', '--propagation', 'private', 'sh', '-ec', script], {
    encoding: 'utf8',
  })
}

const directory = mkdtempSync('/var/tmp/cpu plan-')
t.teardown(() => rmSync(directory, { recursive: true, force: true }))
const source = path.join(directory, 'source')
mkdirSync(source)
writeFileSync(path.join(source, 'file'), 'yours\n')
const escaped = source.replaceAll(' ', '\\040')

t.test('a /tmp of its own, with the machine below it', async t => {
  const outside = readdirSync('/tmp')
  t.equal(
    run('t /tmp/x tmpfs', 'ls /tmp; stat -c %a /tmp; ls -d /tmp/local/etc'),
    'cpu\nlocal\nmerge\nroot\nx\n1777\n/tmp/local/etc\n',
  )
  t.same(readdirSync('/tmp').includes('local'), outside.includes('local'), 'nothing of it outside')
})

t.test('a bind with a space in its name, read-only', async t => {
  const out = run(
    `${escaped} /tmp/x none bind,ro,nosuid`,
    'cat /tmp/x/file; touch /tmp/x/new 2>&1 || echo refused',
  )
  t.match(out, /^yours\n.*Read-only file system\nrefused\n$/)
  t.same(readdirSync(source), ['file'])
})

t.test('an overlay on the two directories every session has', async t => {
  const fstab = `${escaped} /tmp/lower none bind,ro
overlay /tmp/x overlay lowerdir=/tmp/lower,upperdir=/tmp/root,workdir=/tmp/merge`
  t.equal(run(fstab, 'echo theirs > /tmp/x/file; cat /tmp/x/file'), 'theirs\n')
  t.equal(run(fstab, 'cat /tmp/x/file'), 'yours\n')
})

t.test('part of a file system', async t => {
  const fstab = `${path.dirname(escaped)} /tmp/x none bind,X-mount.subdir=/source,ro,private`
  t.equal(run(fstab, 'ls /tmp/x'), 'file\n')
})
