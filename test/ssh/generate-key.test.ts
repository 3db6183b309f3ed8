import ssh2 from 'ssh2'
import t from 'tap'
import { generateKey } from '../../src/ssh/generate-key.js'

t.test('every pair can be read', async t => {
  // of ssh2's own, one in 256 cannot
  const pairs = Array.from({ length: 1500 }, () => generateKey('a comment'))
  t.same(
    pairs.filter(pair =>
      [pair.private, pair.public].some(text => ssh2.utils.parseKey(text) instanceof Error),
    ),
    [],
  )
  t.match(pairs[0]!.public, /^ssh-ed25519 AAAA\S+ a comment$/)
})
