// What we make of ssh_config, beside what OpenSSH makes of it: `ssh -G` prints that.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import t from 'tap'
import { interpretSettings } from '../../src/client/ssh-config.js'
import { type HostQuery, lookUpHost } from '../../src/client/ssh-config-lookup.js'
import { expandHome } from '../../src/client/ssh-tokens.js'

/** Keywords of which OpenSSH's defaults are not asked for: a host that has none has none in our settings. */
const OPTIONAL = ['identityfile', 'userknownhostsfile', 'setenv', 'proxycommand', 'proxyjump'] as const

type Described = Record<string, string | string[] | undefined>

function write(directory: string, text: string, name = 'config'): string {
  const file = path.join(directory, name)
  fs.writeFileSync(file, text)
  return file
}

function look(file: string, query: Partial<HostQuery> & { alias: string }) {
  const complete = { defaultPort: '22', ...query }
  const files = [{ path: file, directory: path.dirname(file), isPrivate: false }]
  const settings = lookUpHost(complete, files)
  return { settings, config: interpretSettings(complete, settings) }
}

function ours(file: string, alias: string, user?: string): Described {
  const { settings, config } = look(file, { alias, user })
  const raw = (keyword: string) => settings.get(keyword)?.values.map(expandHome)
  const seconds = (ms: number | undefined, otherwise: string) =>
    ms === undefined ? otherwise : ms === 0 ? otherwise : String(ms / 1000)
  const yes = (value: boolean) => (value ? 'yes' : 'no')
  return {
    hostname: config.hostName ?? alias.toLowerCase(),
    port: config.port ?? '22',
    user: config.user ?? os.userInfo().username,
    identitiesonly: yes(config.identitiesOnly),
    hashknownhosts: yes(config.hashKnownHosts),
    batchmode: yes(config.batchMode),
    stricthostkeychecking: strictness(config.strictHostKeyChecking ?? 'ask'),
    connecttimeout: seconds(config.connectTimeoutMs, 'none'),
    serveraliveinterval: seconds(config.serverAliveIntervalMs, '0'),
    serveralivecountmax: String(config.serverAliveCountMax ?? 3),
    hostkeyalias: config.hostKeyAlias,
    identityagent: settings.get('identityagent')?.values[0],
    identityfile: settings.get('identityfile')?.values.slice(),
    userknownhostsfile: raw('userknownhostsfile')?.join(' '),
    setenv: config.setEnv.length === 0 ? undefined : config.setEnv.map(pair => pair.join('=')),
    proxycommand: settings.get('proxycommand')?.values[0],
    proxyjump: settings.get('proxyjump')?.values[0],
  }
}

/** As `ssh -G` says it. */
function strictness(value: string): string {
  return value === 'yes' ? 'true' : value === 'no' ? 'false' : value
}

/** For those of OPTIONAL that are nowhere in our settings, OpenSSH may have its defaults. */
function openssh(file: string, alias: string, user: string | undefined, expected: Described): Described {
  const args = ['-G', '-F', file, ...(user === undefined ? [] : ['-l', user]), alias]
  const text = execFileSync('ssh', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  const lines = text
    .split('\n')
    .map(line => [line.split(' ', 1)[0] ?? '', line.replace(/^\S+ ?/, '')] as const)
  const values = (keyword: string) => lines.filter(([name]) => name === keyword).map(([, value]) => value)
  return Object.fromEntries(
    Object.keys(expected).map(keyword => {
      const found = values(keyword)
      const isDefault = OPTIONAL.some(optional => optional === keyword) && expected[keyword] === undefined
      if (isDefault && !['proxycommand', 'proxyjump', 'setenv'].includes(keyword)) return [keyword, undefined]
      const isList = keyword === 'identityfile' || keyword === 'setenv'
      return [keyword, found.length === 0 ? undefined : isList ? found : found[0]]
    }),
  )
}

const CONFIGS: readonly (readonly [what: string, text: string, hosts: readonly string[]])[] = [
  ['nothing', '', ['a']],
  ['the first value wins', 'Host a\n Port 1\n User u\nHost *\n Port 2\n User v\n', ['a', 'b']],
  ['values before any Host', 'Port 7\nHost a\n Port 8\n', ['a', 'b']],
  [
    'keys add up, each once',
    'Host a\n IdentityFile /1\n IdentityFile /2\nHost *\n IdentityFile /3\n IdentityFile /1\n',
    ['a', 'b'],
  ],
  ['spelling', 'hOsT a\n\tpOrT = 3\n  USER=u\n  hostname   =  x.example  \n', ['a']],
  ['comments', '# Host a\nHost a # b\n Port 4 # five\n  # Port 6\n', ['a', 'b']],
  ['quotes', 'Host "a" b\n IdentityFile "/with space"\n User "u"\n', ['a', 'b']],
  ['line ends of others', 'Host a\r\n  Port 5\r\n', ['a']],
  [
    'patterns',
    'Host a?\n Port 1\nHost *.example !x.example\n Port 2\nHost 10.0.*.?\n Port 3\n',
    ['a', 'ab', 'abc', 'x.example', 'y.example', 'z', '10.0.0.1', '10.0.0.11'],
  ],
  ['only exclusions', 'Host !a\n Port 9\n', ['a', 'b']],
  ['dots are dots', 'Host a.b\n Port 9\nHost [c]\n Port 8\n', ['axb', 'a.b', 'c', '[c]']],
  ['HostName with tokens', 'Host *\n HostName %h.example%%\n', ['a', 'B']],
  [
    'Match host looks at HostName',
    'Host a\n HostName real\nMatch host real\n Port 1\nMatch host a\n Port 2\n',
    ['a', 'real'],
  ],
  [
    'Match host looks at HostName, however it is spelled',
    'Host a\n hostname real\nMatch host real\n Port 1\n',
    ['a'],
  ],
  ['Match originalhost', 'Host a\n HostName real\nMatch originalhost a\n Port 1\n', ['a', 'real']],
  ['Match all', 'Host b\n Port 1\nMatch all\n Port 2\n User u\n', ['a', 'b']],
  ['Match user', 'Host a\n User u\nMatch user u,v\n Port 1\nMatch user root\n Port 2\n', ['a', 'b']],
  ['Match localuser', 'Match localuser root,nobody\n Port 1\n', ['a']],
  [
    'Match with several criteria',
    'Match host a,b user root\n Port 1\nMatch host "b,c" originalhost c\n Port 2\n',
    ['a', 'b', 'c'],
  ],
  ['Match excludes', 'Match !host a,b\n Port 1\nMatch host *,!b\n Port 2\n', ['a', 'b', 'c']],
  ['Match host does not look at case', 'Match host AbC\n Port 1\n', ['abc', 'ABC', 'abd']],
  [
    'Match exec',
    'Match exec "test %h = a"\n Port 1\nMatch host b exec "exit 0"\n Port 2\nMatch !exec "exit 1"\n User u\n',
    ['a', 'b', 'c'],
  ],
  [
    'Match final',
    'Match final host real\n Port 1\nHost a\n HostName real\nHost real\n User u\n',
    ['a', 'real', 'b'],
  ],
  [
    'the first of ProxyJump and ProxyCommand',
    'Host a\n ProxyJump j\nHost b\n ProxyCommand nc %h %p\nHost *\n ProxyCommand other\n ProxyJump k\n',
    ['a', 'b', 'c'],
  ],
  ['a ProxyCommand as it is written', 'ProxyCommand sh -c "a  \'b  c\' #d" | e#f=g \\"h\\"\n', ['a']],
  ['ProxyJump over several', 'ProxyJump u@a:1,b,[::1]:3\n', ['x']],
  ['SetEnv', 'SetEnv A=1 B="two words" C="d e"\nSetEnv F=6\n', ['a']],
  ['several known_hosts', 'UserKnownHostsFile ~/.ssh/a "/with space" /c\nUserKnownHostsFile /d\n', ['a']],
  [
    'answers',
    'Host a\n IdentitiesOnly yes\n StrictHostKeyChecking no\n HashKnownHosts yes\n BatchMode yes\n ServerAliveInterval 7\nHost *\n StrictHostKeyChecking accept-new\n',
    ['a', 'b'],
  ],
  [
    'StrictHostKeyChecking',
    'Host a\n StrictHostKeyChecking yes\nHost b\n StrictHostKeyChecking off\nHost c\n StrictHostKeyChecking ask\n',
    ['a', 'b', 'c'],
  ],
  [
    'times',
    'Host a\n ConnectTimeout 1m30\n ServerAliveInterval 5\n ServerAliveCountMax 9\nHost b\n ConnectTimeout none\n ServerAliveInterval 1h\n',
    ['a', 'b', 'c'],
  ],
  [
    'other things',
    'Host *\n IdentityAgent /run/agent\n HostKeyAlias alias\n ForwardAgent yes\n ControlPath ~/%C\n',
    ['a'],
  ],
]

t.test('the same as ssh -G', async t => {
  const directory = t.testdir({})
  for (const [what, text, hosts] of CONFIGS) {
    const file = write(directory, text)
    for (const host of hosts) {
      const expected = ours(file, host)
      t.same(expected, openssh(file, host, undefined, expected), `${what}: ${host}`)
    }
  }
})

t.test('a user of the command line wins, and Match sees it', async t => {
  const file = write(t.testdir({}), 'Match user me\n Port 1\nHost a\n User other\n')
  const expected = ours(file, 'a', 'me')
  t.match(expected, { port: '1', user: 'me' })
  t.same(expected, openssh(file, 'a', 'me', expected))
})

t.test('Include: names, patterns, places, and where it applies', async t => {
  const directory = t.testdir({
    d: { '20': 'Port 20\nUser late\n', '10': 'Host a\n Port 10\n', '.hidden': 'Port 1\n' },
  })
  const text = [
    'Host c',
    ` Include ${directory}/d/20`,
    'Host *',
    ` Include ${directory}/none ${directory}/n*ne ${directory}/d/*`,
    ' Port 99',
  ].join('\n')
  const file = write(directory, text)
  for (const host of ['a', 'b', 'c']) {
    const expected = ours(file, host)
    t.same(expected, openssh(file, host, undefined, expected), host)
  }
  t.same(
    ['a', 'b', 'c'].map(host => ours(file, host)['port']),
    ['10', '20', '20'],
  )
  const [bracket, question] = ['[12]0', '?0'].map(name =>
    write(directory, `Include ${directory}/d/${name}\n`, name),
  )
  t.equal(ours(bracket ?? '', 'a')['port'], '10')
  t.equal(ours(question ?? '', 'b')['port'], '20')
})

t.test('a relative Include starts beside the file that has it, and may not go in circles', async t => {
  const directory = t.testdir({ more: 'Port 5\n', self: 'Include self\n' })
  t.equal(look(write(directory, 'Include more\n'), { alias: 'a' }).config.port, '5')
  t.throws(() => look(path.join(directory, 'self'), { alias: 'a' }), {
    message: /self:1: Include goes too deep/,
  })
})

t.test('tokens are what ssh makes of them', async t => {
  const directory = t.testdir({})
  const told = path.join(directory, 'told')
  const exec = `Match exec "echo %h %p %r %n %u %i %d %l %L %k %% > ${told}"`
  const file = write(
    directory,
    `Host a\n HostName %h.example\n Port 5\n User u\n HostKeyAlias k\n${exec}\n ProxyCommand x %h %p %r %n %%\n`,
  )
  execFileSync('ssh', ['-G', '-F', file, 'a'], { stdio: 'ignore' })
  const theirs = fs.readFileSync(told, 'utf8')
  fs.rmSync(told)
  const { config } = look(file, { alias: 'a' })
  t.equal(fs.readFileSync(told, 'utf8'), theirs)
  t.match(theirs, /^a\.example 5 u a /)
  t.equal(config.proxyCommand, 'x a.example 5 u a %')
})

t.test('names of files: home, tokens, variables', async t => {
  const home = os.homedir()
  process.env['CPU_TEST_KEYS'] = '/keys/100%'
  t.teardown(() => delete process.env['CPU_TEST_KEYS'])
  const file = write(
    t.testdir({}),
    'IdentityFile ~/.ssh/%r@%h\nIdentityFile \x24{CPU_TEST_KEYS}/%n\nIdentityFile %d/x\n',
  )
  t.same(look(file, { alias: 'a', user: 'u' }).config.identityFiles, [
    `${home}/.ssh/u@a`,
    '/keys/100%/a',
    `${home}/x`,
  ])
})

t.test('what is wrong is named, with file and line', async t => {
  const directory = t.testdir({})
  for (const [text, message] of [
    ['Port 1\nHost "a\n', /config:2: malformed line: Host "a$/],
    ['Host\n', /config:1: malformed line: Host$/],
    ['Port\nHost a\n', /config:1: malformed line: Port$/],
    ['Match host\n', /config:1: malformed line: Match host$/],
    ['\n\nPort ssh\n', /config:3: "ssh" is no port$/],
    ['Port 1 2\n', /config:1: "1 2" is no port$/],
    ['IdentitiesOnly perhaps\n', /config:1: "perhaps" is no answer for yes or no$/],
    ['StrictHostKeyChecking maybe\n', /config:1: "maybe" is no yes, no, ask or accept-new$/],
    ['ConnectTimeout soon\n', /config:1: "soon" is no time$/],
    ['SetEnv A\n', /config:1: SetEnv takes NAME=VALUE, not "A"$/],
    ['SetEnv A="b\n', /config:1: malformed line/],
    ['IdentityFile /%Z\n', /config:1: unknown token %Z$/],
    [
      'IdentityFile \x24{NO_SUCH_VARIABLE}/x\n',
      /config:1: there is no variable NO_SUCH_VARIABLE in the environment$/,
    ],
  ] as const)
    t.throws(() => look(write(directory, text), { alias: 'a' }), { code: 'ERR_CPU_USAGE', message }, text)
})

t.test('what cpu does not know is passed over', async t => {
  const text = 'NoSuchKeyword x\nMatch tagged t\n Port 1\nMatch !tagged t\n Port 2\nMatch all\n Port 3\n'
  t.equal(look(write(t.testdir({}), text), { alias: 'a' }).config.port, '3')
})

t.test('a file of the user that others can write to is refused: it names programs', async t => {
  const file = write(t.testdir({}), 'Match exec true\n')
  fs.chmodSync(file, 0o666)
  const files = [{ path: file, directory: '/', isPrivate: true }]
  t.throws(() => lookUpHost({ alias: 'a', defaultPort: '22' }, files), {
    code: 'ERR_CPU_SSH_CONFIG',
    message: `${file} can be changed by others`,
  })
  fs.chmodSync(file, 0o600)
  t.equal(lookUpHost({ alias: 'a', defaultPort: '22' }, files).size, 0)
})
