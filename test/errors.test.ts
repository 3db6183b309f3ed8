// docs/errors.md and the code agree: every code that is thrown is explained there, and nothing else is.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import * as exitCodes from '../src/cli/exit-codes.js'
import { packageRoot } from '../src/version.js'

const documentation = readFileSync(join(packageRoot(), 'docs/errors.md'), 'utf8')
/** First cell of each table row: a code, what it means, what to do. */
const rows = [...documentation.matchAll(/^\| `(ERR_CPU_\w+)` *\|(.*)\|(.*)\|$/gm)]
const documented = rows.map(([, code = '']) => code)

/** `ERR_CPU_<AREA>` in prose is none. */
const CODE = /ERR_CPU_[A-Z0-9]+(?:_[A-Z0-9]+)*/g
const QUOTED_CODE = /(?<=')ERR_CPU_[A-Z0-9_]+(?=')/g

const source = ['src', 'qemu'].flatMap(room =>
  readdirSync(join(packageRoot(), room), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts'))
    .map(name => readFileSync(join(packageRoot(), room, name), 'utf8')),
)

function matchesIn(texts: readonly string[], pattern: RegExp): string[] {
  return [...new Set(texts.flatMap(text => text.match(pattern) ?? []))].sort()
}

const thrown = matchesIn(source, QUOTED_CODE)

t.test('every code in the code is documented, once', async t => {
  t.ok(thrown.length > 0)
  t.same([...documented].sort(), thrown)
})

t.test('every code that prose names exists', async t => {
  t.same(
    matchesIn([...source, documentation], CODE).filter(code => !thrown.includes(code)),
    [],
  )
})

t.test('every entry has a cause and a remedy', async t => {
  for (const [, code = '', meaning = '', remedy = ''] of rows)
    t.ok(meaning.trim().length > 0 && remedy.trim().length > 0, code)
})

t.test('every exit code of ours is documented', async t => {
  const ours = Object.values(exitCodes).filter(value => typeof value === 'number')
  for (const code of ours) t.match(documentation, new RegExp(`^\\| ${code} +\\|`, 'm'), String(code))
})
