import os from 'node:os'
import t from 'tap'
import { errnoDescription, errnoName, errnoNumber } from '../../src/linux/errno.js'

t.test('agrees with the numbers that Node was built with', async t => {
  const { errno } = os.constants
  for (const [name, number] of Object.entries(errno)) t.equal(errnoNumber(name), number, name)
})

t.test('has every number of Linux once', async t => {
  // 41 and 58 were aliases on other machines and are not used.
  for (let number = 1; number <= 133; number++) {
    if (number === 41 || number === 58) continue
    const name = errnoName(number)
    t.match(name, /^E(2BIG|[A-Z]+)/, `${number}`)
    t.equal(errnoNumber(name), number, name)
    t.not(errnoDescription(number), `unknown error ${number}`)
  }
})

t.test('describes in lower case', async t => {
  t.equal(errnoDescription(19), 'no such device')
  t.equal(errnoName(116), 'ESTALE')
  t.equal(errnoDescription(116), 'stale file handle')
  t.equal(errnoName(95), 'EOPNOTSUPP')
})

t.test('knows aliases, and what it does not know', async t => {
  t.equal(errnoNumber('EWOULDBLOCK'), 11)
  t.equal(errnoNumber('ENOTSUP'), 95)
  t.equal(errnoNumber('ENONSENSE'), undefined)
  t.equal(errnoName(41), 'E41')
  t.equal(errnoDescription(999), 'unknown error 999')
})
