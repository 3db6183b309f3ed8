import t from 'tap'
import { parseToml } from '../../qemu/toml-file.js'
import { UsageError } from '../../src/errors.js'

const TEXT = `# a comment
one = 1

[table]
list = [
  "a",
  "b",
]
deep = { key = true }

[[entry]]
name = "first"

[[entry]]
name = "second" # and a comment
date = 1979-05-27
`

t.test('values by their types', async t => {
  const root = parseToml(TEXT, 'x.toml')
  t.equal(root.integer('one'), 1)
  t.strictSame(root.table('table')?.strings('list'), ['a', 'b'])
  t.equal(root.table('table')?.table('deep')?.boolean('key'), true)
  t.strictSame(
    root.tables('entry').map(entry => entry.string('name')),
    ['first', 'second'],
  )
  t.equal(root.string('nothing'), undefined)
  t.strictSame(root.tables('nothing'), [])
})

t.test('a complaint has the line of the statement that it is about', async t => {
  const root = parseToml(TEXT, 'x.toml')
  const table = root.table('table')!
  const [, second] = root.tables('entry')
  t.equal(root.place('one'), 'x.toml:2')
  t.equal(root.place('table'), 'x.toml:4')
  t.equal(table.place('list'), 'x.toml:5')
  t.equal(table.table('deep')?.place('key'), 'x.toml:9')
  t.equal(second?.place(undefined), 'x.toml:14')
  t.equal(second?.place('date'), 'x.toml:16')
})

t.test('a value of another type', async t => {
  const root = parseToml(TEXT, 'x.toml')
  const table = root.table('table')!
  const [, second] = root.tables('entry')
  for (const [take, message] of [
    [() => root.string('one', 'quote it'), 'x.toml:2: "one" is not a string'],
    [() => root.table('one'), 'x.toml:2: "one" is not a table'],
    [() => root.tables('one'), 'x.toml:2: "one" is not a list of tables, each [[one]]'],
    [() => table.boolean('list'), 'x.toml:5: "list" in [table] is not true or false'],
    [() => table.integer('deep'), 'x.toml:9: "deep" in [table] is not a whole number'],
    [() => second?.table('date'), 'x.toml:16: "date" in [[entry]] is not a table'],
    [() => second?.strings('name'), 'x.toml:15: "name" in [[entry]] is not a list of strings'],
  ] as const)
    t.throws(take, { name: 'UsageError', message })
  t.throws(() => root.string('one', 'quote it'), { message: /not a string/, remedy: 'quote it' })
})

t.test('a key that nobody asks for', async t => {
  const root = parseToml('nmae = 1\nother = 2\n', 'x.toml')
  root.string('name')
  root.string('value')
  t.throws(() => root.close(), {
    message: 'x.toml:1: unknown key "nmae"',
    remedy: 'did you mean name?',
  })
  root.integer('nmae')
  t.throws(() => root.close(), {
    message: 'x.toml:2: unknown key "other"',
    remedy: 'known: name, nmae, value',
  })
  root.integer('other')
  root.close()
  t.throws(() => parseToml('__proto__ = 1', 'x.toml').close(), { message: /unknown key "__proto__"/ })
})

t.test('what is no TOML is told with its line', async t => {
  t.throws(() => parseToml('a = 1\nb = \n', 'x.toml'), new UsageError('x.toml:2: invalid value (column 5)'))
  t.throws(() => parseToml('a = 1\na = 2\n', 'x.toml'), { message: /^x\.toml:2: / })
  t.throws(() => parseToml('a = 9223372036854775807', 'x.toml'), { message: /^x\.toml:1: / })
})
