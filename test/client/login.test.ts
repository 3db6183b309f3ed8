// Logging in to a real cpud: keys of every kind, passphrases on a real terminal, a real ssh-agent.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { cpu, type Target } from '../fixtures/cpu-command.js'
import { homeWith } from '../fixtures/home.js'
import { type LocalCpud, startCpud } from '../fixtures/local-cpud.js'
import { startOnTerminal } from '../fixtures/on-terminal.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const KINDS = ['rsa', 'ecdsa', 'ed25519'] as const
const PASSPHRASE = 'correct horse'
const keys = temporaryDirectory(t)
const keyFile = (name: string) => path.join(keys, name)

function generate(name: string, type: string, passphrase = '', format: string[] = []): string {
  execFileSync('ssh-keygen', ['-q', '-t', type, ...format, '-N', passphrase, '-f', keyFile(name)])
  return fs.readFileSync(keyFile(`${name}.pub`), 'utf8')
}

const publicKeys = [
  ...KINDS.map(kind => generate(kind, kind)),
  ...KINDS.map(kind => generate(`locked_${kind}`, kind, PASSPHRASE)),
  generate('pem', 'rsa', PASSPHRASE, ['-m', 'PEM']),
]
generate('stranger', 'ed25519')

/** A home with an ssh_config, and cpud as `board` in it. */
function withConfig(
  t: Pick<Test, 'teardown'>,
  cpud: LocalCpud,
  lines: string[],
  more: string[] = [],
): Target {
  const { env } = homeWith(t, ['Host board', `HostName unix${cpud.host}`, ...lines])
  const flags = ['-9p=false', '-hk', path.join(cpud.directory, 'host.pub'), ...more]
  return { flags, host: 'board', env }
}

function startAgent(t: Pick<Test, 'teardown'>, names: readonly string[]): string {
  const socket = path.join(temporaryDirectory(t), 'agent')
  const said = execFileSync('ssh-agent', ['-a', socket], { encoding: 'utf8' })
  const pid = Number(/SSH_AGENT_PID=(\d+)/.exec(said)?.[1])
  t.teardown(() => process.kill(pid))
  for (const name of names)
    execFileSync('ssh-add', ['-q', keyFile(name)], {
      env: {
        ...process.env,
        SSH_AUTH_SOCK: socket,
        SSH_ASKPASS_REQUIRE: 'force',
        SSH_ASKPASS: askpass(t),
      },
    })
  return socket
}

function askpass(t: Pick<Test, 'teardown'>): string {
  const script = path.join(temporaryDirectory(t), 'askpass')
  fs.writeFileSync(script, `#!/bin/sh\necho ${PASSPHRASE}\n`, { mode: 0o700 })
  return script
}

t.test('with keys', async t => {
  const cpud = await startCpud(t, 'unix', { authorize: key => [key, ...publicKeys].join('\n') })
  const passphraseOf = /passphrase of [^:]+: /

  for (const kind of KINDS)
    t.test(`${kind}, by a file and by the agent`, async t => {
      const byFile = await cpu(withConfig(t, cpud, [`IdentityFile ${keyFile(kind)}`]), ['echo', 'in'])
      t.same([byFile.stdout.toString(), byFile.stderr, byFile.code], ['in\n', '', 0])
      const socket = startAgent(t, [`locked_${kind}`])
      const byAgent = await cpu(withConfig(t, cpud, [`IdentityAgent ${socket}`]), ['echo', 'in'])
      t.same([byAgent.stdout.toString(), byAgent.stderr, byAgent.code], ['in\n', '', 0])
    })

  for (const name of [...KINDS.map(kind => `locked_${kind}`), 'pem'])
    t.test(`a passphrase: ${name}`, async t => {
      const target = withConfig(t, cpud, [], ['-key', keyFile(name)])
      const terminal = startOnTerminal(t, target, ['echo', 'logged', 'in'], { stdin: 'ignore' })
      t.ok(await terminal.shows(passphraseOf), 'it asks')
      terminal.type('wrong\r')
      t.ok(await terminal.shows(/that is not it; passphrase of [^:]+: /), 'it asks again')
      terminal.type(`${PASSPHRASE}\r`)
      t.equal(await terminal.ended, 0)
      t.match(terminal.screen(), /logged in\r\n$/)
      t.notMatch(terminal.screen(), /wrong|correct|horse/)
      t.ok(await terminal.isCooked())
    })

  t.test('three wrong ones end it', async t => {
    const terminal = startOnTerminal(t, withConfig(t, cpud, [], ['-key', keyFile('locked_ed25519')]), [
      'true',
    ])
    for (const asked of [1, 2, 3]) {
      t.ok(await terminal.shows(new RegExp(`(${passphraseOf.source}[^]*){${asked}}`)))
      terminal.type('wrong\r')
    }
    t.equal(await terminal.ended, 255)
    t.match(terminal.screen(), /accepts none of our keys \(tried .*locked_ed25519\)/)
    t.equal(terminal.screen().match(/passphrase of/g)?.length, 3)
  })

  t.test('Ctrl-C at the question leaves, with the terminal as it was', async t => {
    const terminal = startOnTerminal(t, withConfig(t, cpud, [], ['-key', keyFile('locked_ed25519')]), [
      'true',
    ])
    await terminal.shows(passphraseOf)
    t.notOk(await terminal.isCooked())
    terminal.type('\u0003')
    t.equal(await terminal.ended, 'SIGINT')
    t.ok(await terminal.isCooked())
    const killed = startOnTerminal(t, withConfig(t, cpud, [], ['-key', keyFile('locked_ed25519')]), ['true'])
    await killed.shows(passphraseOf)
    process.kill(killed.pid, 'SIGTERM')
    t.equal(await killed.ended, 'SIGTERM')
    t.ok(await killed.isCooked())
  })

  t.test('a server that hangs up meanwhile ends the question, with the terminal as it was', async t => {
    const other = await startCpud(t, 'unix', { authorize: key => [key, ...publicKeys].join('\n') })
    const terminal = startOnTerminal(t, withConfig(t, other, [], ['-key', keyFile('locked_rsa')]), ['true'])
    t.ok(await terminal.shows(passphraseOf))
    other.daemon.kill('SIGKILL')
    t.equal(await terminal.ended, 255)
    t.match(terminal.screen(), /cpu: no SSH session with unix/)
    t.ok(await terminal.isCooked())
  })

  t.test('a locked key without a terminal, and in batch mode, is no question', async t => {
    const result = await cpu(withConfig(t, cpud, [], ['-key', keyFile('locked_ed25519')]), ['true'], {
      detached: true,
    })
    t.equal(result.code, 255)
    t.match(result.stderr, /tried \S+locked_ed25519, which is locked\)/)
    const target = withConfig(t, cpud, ['BatchMode yes'], ['-key', keyFile('locked_ed25519')])
    const terminal = startOnTerminal(t, target, ['true'])
    t.equal(await terminal.ended, 255)
    t.notMatch(terminal.screen(), passphraseOf)
  })

  t.test('a locked key that the agent has, or that the server does not want, is no question', async t => {
    const socket = startAgent(t, ['locked_rsa'])
    const file = `IdentityFile ${keyFile('locked_rsa')}`
    const inAgent = startOnTerminal(t, withConfig(t, cpud, [`IdentityAgent ${socket}`, file]), ['true'])
    t.equal(await inAgent.ended, 0)
    t.equal(inAgent.screen(), '')
    const stranger = await startCpud(t, 'unix')
    const unwanted = startOnTerminal(t, withConfig(t, stranger, [file]), ['true'])
    t.equal(await unwanted.ended, 255)
    t.notMatch(unwanted.screen(), passphraseOf)
  })

  t.test("the agent's other keys are offered, but not with IdentitiesOnly or -key", async t => {
    const socket = startAgent(t, ['ed25519'])
    const lines = [`IdentityAgent ${socket}`, `IdentityFile ${keyFile('stranger')}`]
    t.equal((await cpu(withConfig(t, cpud, lines), ['true'])).code, 0)
    const only = await cpu(withConfig(t, cpud, [...lines, 'IdentitiesOnly yes']), ['true'])
    t.equal(only.code, 255)
    t.match(only.stderr, /accepts none of our keys \(tried \S+stranger\)/)
    const named = await cpu(withConfig(t, cpud, lines, ['-key', keyFile('stranger')]), ['true'])
    t.equal(named.code, 255)
    const publicHalf = await cpu(
      withConfig(t, cpud, [
        `IdentityAgent ${socket}`,
        'IdentitiesOnly yes',
        `IdentityFile ${keyFile('ed25519.pub')}`,
      ]),
      ['true'],
    )
    t.equal(publicHalf.code, 0)
    const alone = await cpu(withConfig(t, cpud, [], ['-key', keyFile('ed25519.pub')]), ['true'])
    t.match(alone.stderr, /tried \S+ed25519\.pub, whose private half no agent has\)/)
  })

  t.test('a dead agent, a missing key and one that is none are passed over', async t => {
    const lines = [
      'IdentityAgent /nowhere/agent',
      'IdentityFile /nowhere/key',
      'IdentityFile /etc/passwd',
      `IdentityFile ${keyFile('ed25519')}`,
    ]
    const { code, stderr } = await cpu(withConfig(t, cpud, lines), ['true'])
    t.equal(code, 0)
    t.match(stderr, /cannot read the private key \/nowhere\/key: no such file/)
    t.match(stderr, /cannot use \/etc\/passwd as a private key/)
  })

  t.test('cpu_rsa is the first of the default keys', async t => {
    const target = withConfig(t, cpud, [])
    const place = (name: string) => path.join(target.env['HOME'] ?? '', '.ssh', name)
    fs.copyFileSync(keyFile('stranger'), place('id_ed25519'))
    t.match((await cpu(target, ['true'])).stderr, /tried \S+id_ed25519\)/)
    fs.copyFileSync(keyFile('rsa'), place('cpu_rsa'))
    t.equal((await cpu(target, ['true'])).code, 0)
  })

  t.test('SetEnv reaches the program, over the environment', async t => {
    const target = withConfig(t, cpud, [`IdentityFile ${keyFile('rsa')}`, 'SetEnv A="two words" B=2'])
    const { stdout } = await cpu(target, ['sh', '-c', 'echo "$A|$B"'], { env: { B: 'mine' } })
    t.equal(stdout.toString(), 'two words|2\n')
  })
})

t.test('without any key', async t => {
  const cpud = await startCpud(t, 'unix', { open: true })
  const locked = keyFile('locked_rsa')
  const target = withConfig(t, cpud, [`IdentityFile ${locked}`], ['-useKey=false'])
  const terminal = startOnTerminal(t, target, ['echo', 'in'])
  t.equal(await terminal.ended, 0)
  t.equal(terminal.screen(), 'in\r\n')
})
