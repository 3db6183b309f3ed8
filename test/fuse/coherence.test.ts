// What others do to files is seen through a mount that keeps everything.
import { execFile } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { eventually } from '../fixtures/cpu-command.js'
import { change, seen } from '../fixtures/files-seen.js'
import { mountByFuse } from '../fixtures/fuse-mounted.js'
import { Random } from '../fixtures/random.js'

const run = promisify(execFile)
const rounds = 1000
const limitMs = 5000

t.test('a thousand changes, each seen', async t => {
  const { here, there } = await mountByFuse(t, 'auto', here =>
    fs.mkdirSync(path.join(here, 'd/e'), { recursive: true }),
  )
  const names = ['', 'a', 'b', 'd', 'd/a', 'd/b', 'd/e', 'd/e/a', 'd/f', 'd/f/a']
  const random = new Random(20261121)
  const waits: number[] = []
  const missed: string[] = []
  for (let round = 0; round < rounds; round++) {
    seen(there, names)
    const what = change(here, ['a', 'b', 'd/a', 'd/b', 'd/e/a'], ['d/e', 'd/f'], random, round)
    const expected = seen(here, names)
    const begun = performance.now()
    if (!(await eventually(() => seen(there, names) === expected, limitMs, 1))) missed.push(what)
    waits.push(performance.now() - begun)
  }
  t.same(missed, [])
  waits.sort((a, b) => a - b)
  t.comment(
    `seen after ${waits[rounds / 2]!.toFixed(1)} ms (median), ${waits.at(-1)!.toFixed(1)} ms (longest)`,
  )
  t.comment(`later than 100 ms: ${waits.filter(ms => ms > 100).length} of ${rounds}`)
})

t.test('what was absent, and is there', async t => {
  const { here, there } = await mountByFuse(t)
  for (let round = 0; round < 100; round++) {
    const name = `n${round}`
    t.notOk(fs.existsSync(path.join(there, name)))
    fs.writeFileSync(path.join(here, name), '')
    t.ok(await eventually(() => fs.existsSync(path.join(there, name)), limitMs, 1), name)
  }
})

t.test('tail -f follows a log that grows on the other side', async t => {
  const { here, there } = await mountByFuse(t, 'auto', here => fs.writeFileSync(path.join(here, 'log'), ''))
  const tail = run('timeout', ['60', 'sh', '-c', 'tail -n +1 -f -s 0.05 log | head -n 50'], { cwd: there })
  for (let line = 0; line < 50; line++) {
    fs.appendFileSync(path.join(here, 'log'), `line ${line}\n`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  // tail notices the end of head when it writes next.
  await eventually(() => {
    fs.appendFileSync(path.join(here, 'log'), 'more\n')
    return tail.child.exitCode !== null
  })
  t.same((await tail).stdout.split('\n').length, 51)
})

t.test('git checkout of another branch, and make, on the other side', async t => {
  const { here, there } = await mountByFuse(t)
  const git = (cwd: string, ...args: string[]) =>
    run('git', ['-c', 'user.name=x', '-c', 'user.email=x', '-c', 'safe.directory=*', ...args], { cwd })
  const names = Array.from({ length: 50 }, (_, i) => `f${i}.txt`)
  await git(here, 'init', '-q', '-b', 'one')
  const makefile = `out: ${names.join(' ')}\n\tcat $^ > $@\n`
  fs.writeFileSync(path.join(here, 'Makefile'), makefile)
  for (const branch of ['one', 'two']) {
    if (branch === 'two') await git(here, 'checkout', '-q', '-b', 'two')
    for (const name of names) fs.writeFileSync(path.join(here, name), `${branch} ${name}\n`)
    await git(here, 'add', 'Makefile', ...names)
    await git(here, 'commit', '-q', '-m', branch)
  }
  for (let round = 0; round < 6; round++) {
    const branch = round % 2 === 0 ? 'one' : 'two'
    await git(here, 'checkout', '-q', branch)
    // As long as a push may take.
    await eventually(
      () => fs.readFileSync(path.join(there, names.at(-1)!), 'utf8').startsWith(branch),
      limitMs,
      1,
    )
    const side = round % 3 === 0 ? here : there
    await run('make', ['-s'], { cwd: side })
    t.equal(
      fs.readFileSync(path.join(there, 'out'), 'utf8'),
      names.map(name => `${branch} ${name}\n`).join(''),
      `${branch}, made ${side === here ? 'here' : 'there'}`,
    )
    t.equal((await git(there, 'status', '--porcelain', '-uno')).stdout, '')
  }
})
