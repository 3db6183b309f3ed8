// The fuzzer's corpus, some fresh sessions, and the race against links swapped in, for FUSE. `npm run fuzz -- -protocol fuse` does
// more of it.

import t from 'tap'
import { corpusOf, freshOf, playSessions } from '../fixtures/fuzz-play.js'
import { fuse } from '../fixtures/fuzz-protocol.js'
import { race } from '../fixtures/fuzz-race.js'
import { formatSession, parseSession } from '../fixtures/fuzz-session.js'

const FRESH = 30
const SEED = 30000

t.test('sessions as text', async t => {
  const session = fuse.generate(3)
  t.same(parseSession(formatSession(session, 'two\nlines')), session)
  t.same(fuse.generate(3), session, 'the seed decides it')
})

t.test('the corpus', async t => {
  const sessions = corpusOf(fuse)
  t.ok(sessions.length >= 30)
  await playSessions(t, fuse, sessions)
})

t.test('fresh sessions', async t => {
  const { replies } = await playSessions(t, fuse, freshOf(fuse, SEED, FRESH))
  t.ok(replies > 2500, 'most are understood')
})

t.test('nothing outside is reached through a name that is a link half of the time', async t => {
  const { problems, inside, link, changed } = await race(fuse, 10_000)
  t.same(problems, [])
  t.ok(inside > 1000 && link > 1000, `found inside ${inside} times, a link ${link} times`)
  t.ok(changed > 100, `changed on the way ${changed} times`)
})
