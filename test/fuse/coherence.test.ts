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

t.test('what another program changes, makes, removes and renames', async t => {
  const { here, there } = await mountByFuse(t, 'auto', here => {
    fs.mkdirSync(path.join(here, 'd/e'), { recursive: true })
    for (const name of ['changed', 'removed', 'renamed', 'd/e/f'])
      fs.writeFileSync(path.join(here, name), 'one')
  })
  const names = ['', 'changed', 'removed', 'renamed', 'other', 'new', 'link', 'd', 'd/e', 'd/e/f', 'd/g/f']
  for (const command of [
    'printf two >changed',
    'printf made >new',
    'rm removed',
    'mv renamed other',
    'ln -s other link',
    'mv d/e d/g',
    'chmod 600 d/g/f',
    'touch -d @1000000000 changed',
    'rm -r d',
    'mkdir removed',
  ]) {
    seen(there, names)
    await run('sh', ['-c', command], { cwd: here })
    const expected = seen(here, names)
    t.ok(await eventually(() => seen(there, names) === expected, limitMs, 1), command)
  }
})

for (const maxWatched of [undefined, 1]) {
  t.test(
    `a directory that was not looked into, and a file moved into one, watching ${maxWatched ?? 'all'}`,
    async t => {
      const prepare = (here: string) => {
        for (const name of ['d', 'other']) fs.mkdirSync(path.join(here, name))
        fs.writeFileSync(path.join(here, 'd/log'), 'begun')
      }
      const { here, there } = await mountByFuse(t, 'auto', prepare, { maxWatched })
      const times = (root: string) => ['d', 'other'].map(name => fs.statSync(path.join(root, name)).mtimeMs)
      t.same(times(there), times(here))
      const log = fs.openSync(path.join(there, 'd/log'), 'r')
      t.teardown(() => fs.closeSync(log))
      t.equal(fs.readFileSync(log, 'utf8'), 'begun')
      await run('sh', ['-c', 'mv d/log other/log; echo " and more" >>other/log'], { cwd: here })
      t.ok(await eventually(() => times(there).join() === times(here).join(), limitMs, 1))
      t.ok(await eventually(() => fs.fstatSync(log).size === 'begun and more\n'.length, limitMs, 1))
      t.equal(fs.readFileSync(log, 'utf8'), ' and more\n')
    },
  )
}

t.test('an editor saves by renaming a new file over the old one, on either side', async t => {
  const { here, there } = await mountByFuse(t, 'auto', here => fs.writeFileSync(path.join(here, 'text'), '0'))
  const save = (directory: string, text: string) =>
    run('sh', ['-c', 'cp text text~; printf "$0" >.text.swp; mv .text.swp text; rm text~', text], {
      cwd: directory,
    })
  const before = fs.openSync(path.join(there, 'text'), 'r')
  t.teardown(() => fs.closeSync(before))
  for (let round = 1; round <= 10; round++) {
    const [editor, reader] = round % 2 === 0 ? [there, here] : [here, there]
    await save(editor, `saved ${round}`)
    const text = () => fs.readFileSync(path.join(reader, 'text'), 'utf8')
    t.ok(await eventually(() => text() === `saved ${round}`, limitMs, 1), `${round}: ${text()}`)
    t.same(fs.readdirSync(there), ['text'])
  }
  t.equal(fs.readFileSync(before, 'utf8'), '0', 'who has the old one open keeps it')
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

const names = Array.from({ length: 50 }, (_, i) => `f${i}.txt`)
const git = (cwd: string, ...args: string[]) =>
  run('git', ['-c', 'user.name=x', '-c', 'user.email=x', '-c', 'safe.directory=*', ...args], { cwd })

/** A repository with the branches one and two, which differ in every one of `names`. */
async function makeRepository(directory: string): Promise<void> {
  await git(directory, 'init', '-q', '-b', 'one')
  const makefile = `out: ${names.join(' ')}\n\tcat $^ > $@\n`
  fs.writeFileSync(path.join(directory, 'Makefile'), makefile)
  for (const branch of ['one', 'two']) {
    if (branch === 'two') await git(directory, 'checkout', '-q', '-b', 'two')
    for (const name of names) fs.writeFileSync(path.join(directory, name), `${branch} ${name}\n`)
    await git(directory, 'add', 'Makefile', ...names)
    await git(directory, 'commit', '-q', '-m', branch)
  }
}

t.test('git checkout of another branch, and make, on the other side', async t => {
  const { here, there } = await mountByFuse(t)
  await makeRepository(here)
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
    const made = names.map(name => `${branch} ${name}\n`).join('')
    const isRight = () => fs.readFileSync(path.join(there, 'out'), 'utf8') === made
    if (side === here) t.ok(await eventually(isRight, limitMs, 1), `${branch}, made here`)
    else t.ok(isRight(), `${branch}, made there`)
    t.equal((await git(there, 'status', '--porcelain', '-uno')).stdout, '')
  }
})

t.test('git checkout of another branch while all is read on the other side', async t => {
  const { here, there } = await mountByFuse(t)
  await makeRepository(here)
  const wrong: string[] = []
  let isOver = false
  const readAll = async () => {
    while (!isOver)
      for (const name of names) {
        const text = await fs.promises.readFile(path.join(there, name), 'utf8').catch(error => error.code)
        // git writes a new file: it may be gone, or not be whole yet.
        const isRight = ['one', 'two'].some(branch => `${branch} ${name}\n`.startsWith(text))
        if (!isRight && text !== 'ENOENT') wrong.push(`${name}: ${JSON.stringify(text)}`)
      }
  }
  const reading = readAll()
  for (let round = 0; round < 20; round++) await git(here, 'checkout', '-q', round % 2 === 0 ? 'one' : 'two')
  isOver = true
  await reading
  t.same(wrong, [])
  t.ok(await eventually(() => seen(there, names) === seen(here, names), limitMs, 5))
  t.equal((await git(there, 'status', '--porcelain', '-uno')).stdout, '')
})

t.test('make builds again what changed on the other side, and only that', async t => {
  const { here, there } = await mountByFuse(t, 'auto', here => {
    const rule = '%.o: %.c\n\t@echo $<\n\t@cp $< $@\n'
    fs.writeFileSync(path.join(here, 'Makefile'), `all: a.o b.o c.o\n${rule}`)
    for (const name of ['a.c', 'b.c', 'c.c']) fs.writeFileSync(path.join(here, name), name)
  })
  const make = async (directory: string) =>
    (await run('make', [], { cwd: directory })).stdout.trim().split('\n')
  const nothing = /Nothing to be done/
  t.same(await make(there), ['a.c', 'b.c', 'c.c'])
  for (const [round, name] of ['a', 'b', 'c', 'a'].entries()) {
    const [editor, builder] = round % 2 === 0 ? [here, there] : [there, here]
    t.match((await make(builder))[0], nothing, 'built by the other side')
    fs.writeFileSync(path.join(editor, `${name}.c`), `${name} in ${round}`)
    const { mtimeMs } = fs.statSync(path.join(here, `${name}.c`))
    const isSeen = () => fs.statSync(path.join(builder, `${name}.c`)).mtimeMs === mtimeMs
    t.ok(await eventually(isSeen, limitMs, 1))
    t.same(await make(builder), [`${name}.c`])
    t.equal(fs.readFileSync(path.join(editor, `${name}.o`), 'utf8'), `${name} in ${round}`)
  }
})
