// The fuzzer's corpus, some fresh sessions, and the race against links swapped in. `npm run fuzz` does more of it.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { packageRoot } from '../../src/version.js'
import { generateSession } from '../fixtures/fuzz-generate.js'
import { race } from '../fixtures/fuzz-race.js'
import { type FuzzSession, formatSession, parseSession } from '../fixtures/fuzz-session.js'
import { FuzzTarget } from '../fixtures/fuzz-target.js'

const CORPUS = join(packageRoot(), 'test/fixtures/fuzz-corpus')
const FRESH = 60
const SEED = 20_000

async function play(t: Test, sessions: Iterable<[name: string, session: FuzzSession]>): Promise<FuzzTarget> {
  const target = new FuzzTarget()
  t.teardown(() => target.remove())
  await target.start()
  for (const [name, session] of sessions) {
    const failure = await target.run(session)
    t.equal(failure, undefined, name)
    if (failure === undefined) continue
    await target.stop()
    await target.start()
  }
  return target
}

t.test('sessions as text', async t => {
  const session = generateSession(3)
  t.same(parseSession(formatSession(session, 'two\nlines')), session)
  t.same(generateSession(3), session, 'the seed decides it')
})

t.test('the corpus', async t => {
  const names = readdirSync(CORPUS).filter(name => name.endsWith('.txt'))
  t.ok(names.length >= 24)
  await play(
    t,
    names.map(name => [name, parseSession(readFileSync(join(CORPUS, name), 'utf8'))]),
  )
})

t.test('fresh sessions', async t => {
  const seeds = Array.from({ length: FRESH }, (_, i) => SEED + i)
  const { replies } = await play(
    t,
    seeds.map(seed => [`seed ${seed}`, generateSession(seed)]),
  )
  t.ok(replies > 5000, 'most are understood')
})

t.test('nothing outside is reached through a name that is a link half of the time', async t => {
  const { problems, inside, link, changed } = await race(100_000)
  t.same(problems, [])
  t.ok(inside > 1000 && link > 1000, `found inside ${inside} times, a link ${link} times`)
  t.ok(changed > 100, `changed on the way ${changed} times`)
})
