// Files through a real FUSE mount on this machine.
import { execFile } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { eventually } from '../fixtures/cpu-command.js'
import { mountByFuse, mountDirectoryByFuse } from '../fixtures/fuse-mounted.js'

const run = promisify(execFile)
const requestsOf = (messages: readonly string[]) =>
  messages.filter(line => line.startsWith('>')).map(line => line.split(' ')[1])

t.test('what is there, and what is made there', async t => {
  const { here, there } = await mountByFuse(t, 'auto', here => {
    fs.mkdirSync(path.join(here, 'd'))
    fs.writeFileSync(path.join(here, 'd/f'), 'content')
    fs.symlinkSync('d/f', path.join(here, 'l'))
  })
  t.same(fs.readdirSync(there).sort(), ['d', 'l'])
  t.equal(fs.readFileSync(path.join(there, 'l'), 'utf8'), 'content')
  const big = Buffer.alloc(3_000_001, 'abcdefg')
  fs.writeFileSync(path.join(there, 'd/big'), big)
  t.ok(fs.readFileSync(path.join(here, 'd/big')).equals(big))
  t.ok(fs.readFileSync(path.join(there, 'd/big')).equals(big))
  fs.renameSync(path.join(there, 'd/big'), path.join(there, 'moved'))
  fs.rmSync(path.join(there, 'd'), { recursive: true })
  t.same(fs.readdirSync(here).sort(), ['l', 'moved'])
})

t.test('nothing is asked twice', async t => {
  const { there, messages } = await mountByFuse(t, 'auto', here => {
    for (let i = 0; i < 100; i++) fs.writeFileSync(path.join(here, `f${i}`), `content ${i}`)
  })
  const look = () =>
    run('sh', ['-c', 'find . -type f -size +0 | wc -l; cat f1 f2 | wc -c; ls nothing'], { cwd: there }).catch(
      error => error,
    )
  const first = await look()
  t.match(first.stdout, /^100\n18\n$/)
  messages.length = 0
  t.equal((await look()).stdout, first.stdout)
  const asked = requestsOf(messages).filter(name => name !== 'STATFS')
  // A directory's time of access changes when it is read, also when that asks nobody.
  t.ok(
    asked.every(name => name === 'GETATTR'),
    asked.join(),
  )
  t.ok(asked.length < 10, `${asked.length} requests for 100 files`)
})

t.test('strict asks always', async t => {
  const { there, here, messages } = await mountByFuse(t, 'strict', here =>
    fs.writeFileSync(path.join(here, 'f'), 'one'),
  )
  for (const text of ['one', 'two', 'other']) {
    fs.writeFileSync(path.join(here, 'f'), text)
    messages.length = 0
    t.equal(fs.readFileSync(path.join(there, 'f'), 'utf8'), text)
    const asked = (name: string) => requestsOf(messages).includes(name)
    t.ok(await eventually(() => asked('LOOKUP') && asked('OPEN')), 'it asks')
  }
})

t.test('a file that both sides append to loses nothing', async t => {
  for (const policy of ['strict', 'auto'] as const) {
    const { here, there } = await mountByFuse(t, policy, here => fs.writeFileSync(path.join(here, 'log'), ''))
    const append = (directory: string, what: string) =>
      run('sh', ['-c', `i=0; while [ $i -lt 200 ]; do echo ${what} $i >>${directory}/log; i=$((i+1)); done`])
    await Promise.all([append(here, 'here'), append(there, 'there')])
    const lines = fs.readFileSync(path.join(here, 'log'), 'utf8').trimEnd().split('\n').sort()
    const expected = ['here', 'there'].flatMap(what => Array.from({ length: 200 }, (_, i) => `${what} ${i}`))
    t.same(lines, expected.sort(), policy)
  }
})

t.test('fsync is fsync on the other side', async t => {
  // What is served is a mount of this kind too: its server tells what is asked of it.
  const inner = await mountByFuse(t)
  for (const policy of ['auto', 'strict', 'always'] as const) {
    const { there } = await mountDirectoryByFuse(t, inner.there, policy)
    const syncs = () => inner.messages.filter(line => /^> FSYNC/.test(line))
    inner.messages.length = 0
    const file = await fs.promises.open(path.join(there, policy), 'w')
    await file.write('written')
    t.same(syncs(), [])
    await file.sync()
    t.equal(fs.readFileSync(path.join(inner.here, policy), 'utf8'), 'written')
    t.equal(syncs().length, 1)
    await file.write(' more')
    await file.datasync()
    t.match(syncs()[1], /fsyncFlags=1/)
    await file.close()
    const directory = await fs.promises.open(there)
    await directory.sync()
    await directory.close()
    t.ok(syncs().some(line => line.startsWith('> FSYNCDIR')))
  }
})

t.test('when the connection breaks, who holds files is told', async t => {
  const { there, disconnect } = await mountByFuse(t, 'auto', here =>
    fs.writeFileSync(path.join(here, 'f'), Buffer.alloc(100_000)),
  )
  const file = await fs.promises.open(path.join(there, 'f'))
  disconnect()
  const make = () => fs.promises.mkdir(path.join(there, String(Math.random())))
  const told = () =>
    make().then(
      () => false,
      error => error.code === 'ENOTCONN',
    )
  t.ok(await eventually(told), 'ENOTCONN')
  await t.rejects(file.read(Buffer.alloc(1), 0, 1, 0), { code: 'ENOTCONN' })
  await t.rejects(file.close(), { code: 'ENOTCONN' })
})

t.test('when the connection breaks, who asks just then is told the same', async t => {
  for (let round = 0; round < 3; round++) {
    const { there, disconnect } = await mountByFuse(t)
    const asking = Array.from({ length: 12 }, (_, i) =>
      run('sh', ['-c', 'n=0; while mkdir "$0-$n"; do n=$((n+1)); done; :', path.join(there, String(i))]),
    )
    await eventually(() => fs.readdirSync(there).length > 20)
    disconnect()
    for (const { stderr } of await Promise.all(asking)) t.match(stderr, /endpoint is not connected/)
  }
})
