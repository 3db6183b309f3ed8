// What npm run docs makes of the tables of flags: that it is what is committed, that man(1) takes it, and that shells
// complete by it. Formatters and shells that are not installed here are passed over; bash is everywhere.

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { START_FLAGS } from '../../qemu/flags.js'
import { HELP } from '../../qemu/help.js'
import { CPU_MANUAL } from '../../scripts/docs/cpu-manual.js'
import { documents, MANUALS } from '../../scripts/docs/documents.js'
import { flagGroups, type Manual } from '../../scripts/docs/manual.js'
import { renderMan } from '../../scripts/docs/roff.js'
import { CPU_FLAGS } from '../../src/cli/cpu-flags.js'
import { defineFlags } from '../../src/cli/flags.js'
import { NETWORKS } from '../../src/transport/address.js'
import { packageRoot } from '../../src/version.js'
import { homeWith } from '../fixtures/home.js'

const made = documents()
const isInstalled = (program: string) => spawnSync(program, ['--version']).error === undefined

t.test('what is committed is what is made: else, npm run docs', async t => {
  for (const [file, text] of made) t.equal(readFileSync(join(packageRoot(), file), 'utf8'), text, file)
  for (const folder of ['docs/man', 'docs/completion'])
    for (const name of readdirSync(join(packageRoot(), folder)))
      t.ok(made.has(`${folder}/${name}`), `${folder}/${name} is made of nothing`)
})

t.test('a manual says something of every flag, and of no other', async t => {
  for (const manual of MANUALS) {
    const names = flagGroups(manual).flatMap(({ flags }) => flags.map(([name]) => name))
    t.same(
      Object.keys(manual.more).filter(name => !names.includes(name)),
      [],
      manual.name,
    )
    const page = made.get(`docs/man/${manual.name}.${manual.section}`) ?? ''
    for (const name of names)
      t.ok(page.includes(`\n\\fB\\-${name.replaceAll('-', '\\-')}`), `${manual.name} -${name}`)
  }
})

/** Everything that roff could take for something else. */
const hostile: Manual = {
  ...CPU_MANUAL,
  commands: [
    {
      words: 'cpu',
      flags: defineFlags({
        'a-b': { kind: 'string', placeholder: "X'Y", help: '.SH at the start, `a\\nb` and -c=d' },
        net: { kind: 'list', choices: ['a', 'b'], help: 'A list (default a)' },
      }),
      help: { usage: 'cpu', summary: '', examples: [{ command: '\'quoted\' ~/x "^Z" µs', does: "'tis" }] },
    },
  ],
  description: ['.start of a line', { code: '.code\n  \\fBbackslash' }],
  more: {},
}

t.test('no text is taken for a request or an escape', async t => {
  const page = renderMan(hostile, '1.0')
  t.match(page, /^[\n -~]*$/, 'ASCII alone')
  const requests = new Set(page.match(/^[.'][^ \n]*/gm))
  t.strictSame([...requests].sort(), [
    '.EE',
    '.EX',
    '.PP',
    '.RE',
    '.RS',
    '.SH',
    '.TH',
    '.TP',
    '.\\"',
    '.ad',
    '.nh',
  ])
  if (!isInstalled('groff')) return
  const shown = execFileSync('groff', ['-man', '-Tutf8', '-P-cbou'], { input: page, encoding: 'utf8' })
  for (const text of [
    '.start of a line',
    '.code\n',
    '  \\fBbackslash',
    "-a-b X'Y",
    '.SH at the start, a\\nb and -c=d.',
    'A list (a, b; repeatable; default a).',
    `'quoted' ~/x "^Z" µs`,
  ])
    t.ok(shown.includes(text), text)
  t.match(shown, /['’]tis/)
})

t.test('formatters have nothing to say against the pages', async t => {
  for (const [file, text] of made) {
    if (!file.startsWith('docs/man/')) continue
    if (isInstalled('groff')) {
      const { stderr } = spawnSync('groff', ['-man', '-Tutf8', '-ww'], { input: text, encoding: 'utf8' })
      t.equal(stderr, '', file)
    }
    if (isInstalled('mandoc')) {
      const { stdout } = spawnSync('mandoc', ['-Tlint'], { input: text, encoding: 'utf8' })
      // A date would be another one with each release, or a wrong one.
      const found = stdout.split('\n').filter(line => !/^$|missing date/.test(line))
      t.same(found, [], file)
    }
  }
})

const completion = (name: string) => join(packageRoot(), 'docs/completion', name)

const home = homeWith(
  t,
  ['Host board *.example !not', '  HostName secret', 'host=other'],
  '[known]:17010,192.0.2.1 ssh-ed25519 A\n|1|x=|y= ssh-ed25519 A\n@revoked bad ssh-ed25519 A\nvsock/9 ssh-ed25519 A\n',
)
const machine = join(home.directory, 'cpu-harness/vm')
mkdirSync(machine, { recursive: true })
writeFileSync(join(machine, 'machine.json'), '{}')
writeFileSync(join(machine, 'ssh_config'), 'Host vm vsock/3\n')
const environment = { ...process.env, ...home.env, XDG_RUNTIME_DIR: home.directory }

/** What `/etc/ssh` of this machine adds is left out. */
const HOSTS = ['192.0.2.1', 'bad', 'board', 'known', 'other', 'vm', 'vsock/3', 'vsock/9']
const startingWith = (start: string, names: readonly string[]) => names.filter(name => name.startsWith(start))
const ACCELERATORS = START_FLAGS.accel.choices
const ST_COMMANDS = startingWith('st', Object.keys(HELP))
const NE_FLAGS = startingWith(
  '-ne',
  Object.keys(CPU_FLAGS).map(name => `-${name}`),
)

/** Words are given as bash breaks them: at = : and @. */
function completeInBash(...words: string[]): string[] {
  const [name = ''] = words
  const call = `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _${name.replace('-', '_')}; printf '%s\\n' "\${COMPREPLY[@]}"`
  const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', call, completion(`${name}.bash`), ...words], {
    env: environment,
    encoding: 'utf8',
  })
  return [...stderr.split('\n'), ...stdout.split('\n')].filter(line => line !== '')
}

t.test('bash', async t => {
  for (const [words, expected] of [
    [['cpu', '-ne'], NE_FLAGS],
    [['cpu', '--ne'], NE_FLAGS.map(flag => `-${flag}`)],
    [['cpu', '-9'], ['-9p=false']],
    [['cpu', '-net', ''], NETWORKS],
    [['cpu', '-net', '=', 'vs'], ['vsock']],
    [['cpu', '-net', '='], NETWORKS],
    [['cpu', '-net=vs'], ['-net=vsock']],
    [
      ['cpu', '-ro', '='],
      ['true', 'false'],
    ],
    [['cpu', '-ro', 'bo'], ['board']],
    [['cpu', '-ro', '=', 'false', '-net', 'tcp', 'bo'], ['board']],
    [['cpu', '--', 'kn'], ['known']],
    [['cpu', 'me', '@', 'bo'], ['@board']],
    [['cpu', 'me@bo'], ['me@board']],
    [['cpu', '-net', 'vsock', '3', 'basenam'], ['basename']],
    [['cpu', 'vsock/3', ':', '17010', 'basenam'], ['basename']],
    [['cpu', '3', '-ne'], []],
    [['cpu', '3', 'ls', '-net', ''], []],
    [['cpu', '-timeout', ''], []],
    [['cpud', '-net', 'vsock', '-net', ''], NETWORKS],
    [['cpud', ''], []],
    [
      ['cpu-vm', 'st'],
      ['start', 'stop'],
    ],
    [['cpu-vm', 'stop', ''], ['vm']],
    [['cpu-vm', 'stop', 'vm', 'v'], ['vm']],
    [['cpu-vm', 'run', '-accel', ''], ACCELERATORS],
    [['cpu-vm', 'run', '-accel', 'tcg', '--', 'basenam'], ['basename']],
    [['cpu-vm', 'list', '-ac'], []],
    [['cpu-vm', 'nothing', ''], []],
  ] as const)
    t.same([...new Set(completeInBash(...words))], expected, words.join(' '))
  t.same(
    completeInBash('cpu', '').filter(host => HOSTS.includes(host)),
    HOSTS,
  )
})

t.test('fish', async t => {
  if (!isInstalled('fish')) return
  const complete = (line: string) => {
    const name = line.split(' ')[0] ?? ''
    const script = `source ${completion(`${name}.fish`)}; complete --do-complete=${JSON.stringify(line)}`
    const shown = execFileSync('fish', ['--no-config', '-c', script], { env: environment, encoding: 'utf8' })
    return shown.match(/^[^\t\n]+/gm) ?? []
  }
  t.same(complete('cpu -ne'), NE_FLAGS)
  t.same(complete('cpu -net '), NETWORKS)
  t.same(complete('cpu -net tcp bo'), ['board'])
  t.same(complete('cpu me@bo'), ['me@board'])
  t.same(complete('cpu -net vsock 3 basenam'), ['basename'])
  t.same(complete('cpu-vm st'), ST_COMMANDS)
  t.same(complete('cpu-vm stop '), ['vm'])
  t.same(complete('cpu-vm kernel /etc/os-relea'), ['/etc/os-release'])
  t.same(complete('cpu-vm run -accel tcg -- basenam'), ['basename'])
  t.same(complete('cpud -insec'), ['-insecure-no-auth'])
})

/** A terminal of zsh's own, in which Tab completes, shows the line, and ends. */
const ZSH = `
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "fpath=($1 "'$fpath); autoload -Uz compinit; compinit -u -D; PS1=
tab() { zle complete-word; print -r -- "<<$BUFFER>>"; exit }; zle -N tab; bindkey "^I" tab; print -r -- "<<""ready>>"'
zpty -r shell output '*<<ready>>*'
zpty -w -n shell "$2"$'\\t'
zpty -r shell output '*<<*>>*'
print -r -- "\${\${output##*<<}%%>>*}"`

t.test('zsh', async t => {
  if (!isInstalled('zsh')) return
  const complete = (line: string) =>
    execFileSync('zsh', ['-f', '-c', ZSH, 'zsh', join(packageRoot(), 'docs/completion'), line], {
      env: { ...environment, TERM: 'dumb' },
      encoding: 'utf8',
      timeout: 60_000,
    }).trim()
  t.equal(complete('cpu -mountop'), 'cpu -mountopts=')
  t.equal(complete('cpu -net vs'), 'cpu -net vsock')
  t.equal(complete('cpu -net tcp me@bo'), 'cpu -net tcp me@board')
  t.equal(complete('cpu 3 basenam'), 'cpu 3 basename')
  t.equal(complete('cpu-vm stop v'), 'cpu-vm stop vm')
  t.equal(complete('cpu-vm kernel /etc/os-relea'), 'cpu-vm kernel /etc/os-release')
  t.equal(complete('cpu-vm run -accel tc'), 'cpu-vm run -accel tcg')
  t.equal(complete('cpu-vm run -accel tcg -- basenam'), 'cpu-vm run -accel tcg -- basename')
  t.equal(complete('cpud -insec'), 'cpud -insecure-no-auth')
})
