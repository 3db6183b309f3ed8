// Whose host it is: known_hosts against a real sshd with keys of three types, and questions on a real terminal.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { generateKey } from '../../src/ssh/generate-key.js'
import { cpu, type Target } from '../fixtures/cpu-command.js'
import { homeWith } from '../fixtures/home.js'
import { type KeyKind, startSshd } from '../fixtures/local-sshd.js'
import { startOnTerminal } from '../fixtures/on-terminal.js'

const sshd = await startSshd(t)
const NAME = `[127.0.0.1]:${sshd.port}`
const OTHER = generateKey('other').public

/** The sshd as `board`, for a user with these known_hosts. */
function board(
  t: Pick<Test, 'teardown'>,
  knownHosts: string,
  lines: string[] = [],
  flags: string[] = [],
): Target & { knownHosts: string } {
  const config = [
    'Host board',
    'HostName 127.0.0.1',
    `Port ${sshd.port}`,
    `IdentityFile ${sshd.clientKey}`,
    ...lines,
  ]
  const home = homeWith(t, config, knownHosts)
  return { flags: ['-9p=false', ...flags], host: 'board', env: home.env, knownHosts: home.knownHosts }
}

for (const kind of ['rsa', 'ecdsa', 'ed25519'] as const)
  t.test(`a host that is known by its ${kind} key shows that one`, async t => {
    const plain = await cpu(board(t, `${NAME} ${sshd.hostKeys[kind]}\n`), ['echo', 'in'], { detached: true })
    t.same([plain.stdout.toString(), plain.stderr], ['in\n', ''])
    const hk = path.join(sshd.directory, `${kind}.pub`)
    t.equal((await cpu(board(t, '', [], ['-hk', hk]), ['true'], { detached: true })).code, 0)
  })

t.test('hashed by ssh-keygen, without its port, by its alias', async t => {
  const hashed = board(t, `${NAME} ${sshd.hostKeys.ecdsa}\n`)
  execFileSync('ssh-keygen', ['-q', '-H', '-f', hashed.knownHosts], { stdio: 'ignore' })
  t.match(fs.readFileSync(hashed.knownHosts, 'utf8'), /^\|1\|/)
  t.equal((await cpu(hashed, ['true'], { detached: true })).code, 0)
  t.equal((await cpu(board(t, `127.0.0.1 ${sshd.hostKeys.rsa}\n`), ['true'], { detached: true })).code, 0)
  const alias = board(t, `other ${sshd.hostKeys.rsa}\n`, ['HostKeyAlias other'])
  t.equal((await cpu(alias, ['true'], { detached: true })).code, 0)
})

t.test(
  'another key of a known type is refused loudly, also on a terminal and with StrictHostKeyChecking no',
  async t => {
    const target = board(t, `# first\n${NAME} ${OTHER}\n`, ['StrictHostKeyChecking no'])
    const { code, stderr } = await cpu(target, ['true'], { detached: true })
    t.equal(code, 255)
    t.match(stderr, /THE HOST KEY OF \[127\.0\.0\.1\]:\d+ HAS CHANGED: it is ssh-ed25519 SHA256:/)
    t.ok(stderr.includes(`${target.knownHosts}:2 has another`), stderr)
    const terminal = startOnTerminal(t, target, ['true'])
    t.equal(await terminal.ended, 255)
    t.notMatch(terminal.screen(), /yes\/no/)
  },
)

t.test('a revoked key is refused, whatever else is said of it', async t => {
  const lines = `${NAME} ${sshd.hostKeys.ed25519}\n@revoked * ${sshd.hostKeys.ed25519}\n`
  const target = board(t, lines, ['StrictHostKeyChecking no'])
  const { code, stderr } = await cpu(target, ['true'], { detached: true })
  t.equal(code, 255)
  t.ok(stderr.includes(`is revoked (${target.knownHosts}:2)`), stderr)
})

t.test('an unknown host is refused where nobody can be asked', async t => {
  const { code, stderr } = await cpu(board(t, ''), ['true'], { detached: true })
  t.equal(code, 255)
  t.match(
    stderr,
    /is not known: ssh-ed25519 SHA256:\S+ \(add it to .*known_hosts, or give it with -hk FILE, or connect once/,
  )
  const strict = startOnTerminal(t, board(t, '', ['StrictHostKeyChecking yes']), ['true'])
  t.equal(await strict.ended, 255)
  const batch = startOnTerminal(t, board(t, '', ['BatchMode yes']), ['true'])
  t.equal(await batch.ended, 255)
})

t.test('on a terminal it is asked for, once', async t => {
  const target = board(t, 'last line without an end', ['HashKnownHosts no'])
  const no = startOnTerminal(t, target, ['true'])
  t.ok(
    await no.shows(
      /is not known yet\. Its key is ssh-ed25519 SHA256:\S+\. Connect, and remember it\? \(yes\/no\) /,
    ),
  )
  no.type('maybe\r')
  t.ok(await no.shows(/Please type yes or no: /))
  no.type('no\r')
  t.equal(await no.ended, 255)
  const yes = startOnTerminal(t, target, ['cat'], { stdin: 'ignore', stdout: 'ignore' })
  t.ok(await yes.shows(/yes\/no/), 'also where stdin and stdout are others')
  yes.type('yes\r')
  t.equal(await yes.ended, 0)
  t.ok(await yes.isCooked())
  const added = fs.readFileSync(target.knownHosts, 'utf8').split('\n')
  t.same(added, ['last line without an end', `${NAME} ${sshd.hostKeys.ed25519}`, ''])
  t.equal((await cpu(target, ['true'], { detached: true })).code, 0)
})

t.test('who is asked may take longer than the connection', async t => {
  const terminal = startOnTerminal(t, board(t, '', ['ConnectTimeout 1']), ['true'])
  t.ok(await terminal.shows(/yes\/no/))
  await new Promise(resolve => setTimeout(resolve, 1500))
  terminal.type('yes\r')
  t.equal(await terminal.ended, 0)
})

t.test('accept-new remembers, hashed where that is wanted, and ssh-keygen finds it', async t => {
  const target = board(t, '', ['StrictHostKeyChecking accept-new', 'HashKnownHosts yes'])
  t.equal((await cpu(target, ['true'], { detached: true })).code, 0)
  t.match(fs.readFileSync(target.knownHosts, 'utf8'), /^\|1\|/)
  const found = execFileSync('ssh-keygen', ['-F', NAME, '-f', target.knownHosts], { encoding: 'utf8' })
  t.match(found, /found: line 1/)
})

t.test('a key of a type that is not known yet is unknown, not changed', async t => {
  const only = (kind: KeyKind) => [
    'Host board',
    `ProxyCommand ${sshd.inetdCommand} -o HostKeyAlgorithms=${kind === 'rsa' ? 'rsa-sha2-512' : `ssh-${kind}`}`,
    `IdentityFile ${sshd.clientKey}`,
  ]
  const home = homeWith(t, only('rsa'), `[board]:17010 ${sshd.hostKeys.ed25519}\n`)
  const target = { flags: ['-9p=false'], host: 'board', env: home.env }
  const { code, stderr } = await cpu(target, ['true'], { detached: true })
  t.equal(code, 255)
  t.match(
    stderr,
    /is not known: ssh-rsa SHA256:\S+, though by another type it is known: ssh-ed25519 \(\S+known_hosts:1\)/,
  )
  t.notMatch(stderr, /CHANGED/)
})

t.test('of a certificate authority it is said that it cannot be checked', async t => {
  const target = board(t, `@cert-authority [127.0.0.1]:* ${OTHER}\n`)
  const { code, stderr } = await cpu(target, ['true'], { detached: true })
  t.equal(code, 255)
  t.match(
    stderr,
    /is not known: ssh-ed25519 SHA256:\S+, and its certificates, for which \S+known_hosts:1 vouches/,
  )
})

t.test('known_hosts files of ssh_config, and none at all', async t => {
  const elsewhere = board(t, '', [`UserKnownHostsFile /nowhere/x "${sshd.directory}/known here"`])
  fs.writeFileSync(path.join(sshd.directory, 'known here'), `${NAME} ${sshd.hostKeys.rsa}\n`)
  t.equal((await cpu(elsewhere, ['true'], { detached: true })).code, 0)
  const none = board(t, '', ['UserKnownHostsFile none', 'StrictHostKeyChecking no'])
  t.equal((await cpu(none, ['true'], { detached: true })).code, 0)
  t.equal(fs.readFileSync(none.knownHosts, 'utf8'), '')
})
