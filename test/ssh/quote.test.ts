import { execFileSync } from 'node:child_process'
import t from 'tap'
import { quoteCommand, quoteWord, splitCommand } from '../../src/ssh/quote.js'

const words = (command: string): string[] => splitCommand(command).map(String)

t.test('quoting, as it goes over the wire', async t => {
  for (const [args, command] of [
    [[], ''],
    [['date'], `'date'`],
    [['ls', '-l', '/my files'], `'ls' '-l' '/my files'`],
    [["it's"], `'it'"'"'s'`],
    [['', ' ', '\n'], `'' ' ' '\n'`],
  ] as const)
    t.equal(quoteCommand(args.map(arg => Buffer.from(arg))).toString(), command)
})

t.test('splitting by the rules of a shell', async t => {
  for (const [command, args] of [
    ['', []],
    [' \t\n', []],
    ['ls -l', ['ls', '-l']],
    ['  ls \t -l\n', ['ls', '-l']],
    [`a'b c'd`, ['ab cd']],
    [`'' ""`, ['', '']],
    [`"a b"'c d'e`, ['a bc de']],
    [`'it'"'"'s'`, ["it's"]],
    [`a\\ b \\'c`, ['a b', "'c"]],
    [`"\\" \\\\ \\$ \\\` \\n '"`, ['" \\ $ ` \\n \'']],
    [`'\\n "'`, ['\\n "']],
    ['a#b #c', ['a#b', '#c']],
    ['$HOME *.c ;', ['$HOME', '*.c', ';']],
    [`-port9p=17 'ls'`, ['-port9p=17', 'ls']],
  ] as const)
    t.same(words(command), args, command)
})

t.test('what has no end is an error with its place', async t => {
  for (const [command, message] of [
    [`ls 'a`, 'cannot split the command: single quote without an end, byte 4'],
    [`"a\\"`, 'cannot split the command: double quote without an end, byte 1'],
    ['ab\\', 'cannot split the command: backslash before nothing, byte 3'],
  ] as const)
    t.throws(() => splitCommand(command), { code: 'ERR_CPU_COMMAND_SYNTAX', message }, command)
})

/** Numbers that look random and are the same in every run (mulberry32). */
function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

t.test('any bytes come back as they were', async t => {
  const random = seededRandom(17010)
  // mostly what is special, so that the quotes meet each other
  const special = Buffer.from(`'"\\ \n\t$\`#`)
  const byte = () =>
    random() < 0.5 ? special[Math.floor(random() * special.length)]! : Math.floor(random() * 256)
  let different = 0
  for (let round = 0; round < 2_000; round++) {
    const args = Array.from({ length: Math.floor(random() * 6) }, () =>
      Buffer.from(Array.from({ length: Math.floor(random() * 20) }, byte)),
    )
    const back = splitCommand(quoteCommand(args))
    if (back.length !== args.length || back.some((arg, index) => !arg.equals(args[index]!))) different++
  }
  t.equal(different, 0)
})

t.test('sh splits what we quote as we do', async t => {
  const args = ["it's", 'a "b" $HOME `id` \\', '', 'two\nlines', '*']
  const command = quoteCommand(args.map(arg => Buffer.from(arg)))
  const out = execFileSync('sh', ['-c', `printf '%s\\0' ${command}`])
  t.equal(out.toString(), args.map(arg => `${arg}\0`).join(''))
})

t.test('words for people are quoted where they must be', async t => {
  t.same(['/tmp/cpu', 'a b', "it's", '', 'rw,mode=1777'].map(quoteWord), [
    '/tmp/cpu',
    `'a b'`,
    `'it'"'"'s'`,
    `''`,
    'rw,mode=1777',
  ])
})
