// Escapes on a real terminal, and what they are made of.
import { once } from 'node:events'
import path from 'node:path'
import t from 'tap'
import { EscapeFilter } from '../../src/client/escapes.js'
import { eventually, type Target } from '../fixtures/cpu-command.js'
import { homeWith } from '../fixtures/home.js'
import { startCpud } from '../fixtures/local-cpud.js'
import { startOnTerminal } from '../fixtures/on-terminal.js'

/** What is passed on of what is typed, with what was done in brackets. */
async function typed(parts: string[], character = '~'): Promise<string> {
  const seen: string[] = []
  const filter = new EscapeFilter(character, {
    leave: () => void seen.push('[leave]'),
    suspend: () => void seen.push('[suspend]'),
    help: () => void seen.push('[help]'),
  })
  filter.on('data', chunk => seen.push(String(chunk)))
  for (const part of parts) {
    filter.write(part)
    await new Promise(setImmediate)
  }
  filter.end()
  await once(filter, 'end')
  return seen.join('')
}

t.test('what is an escape, and what is not', async t => {
  for (const [parts, expected, character] of [
    [['~.'], '[leave]'],
    [['~?'], '[help]'],
    [['~\u001a'], '[suspend]'],
    [['~~.'], '~.'],
    [['~~~.'], '~~.'],
    [['a~.'], 'a~.'],
    [['a\r', '~', '.'], 'a\r[leave]'],
    [['a\n', '~.'], 'a\n[leave]'],
    [['~a~.'], '~a~.'],
    [['~\r', '~.'], '~\r[leave]'],
    [['~?', '~.'], '[help][leave]'],
    [['~~\r', '~?x~.'], '~\r[help]x~.'],
    [['ls ~/x\r'], 'ls ~/x\r'],
    [['~.'], '~.', '%'],
    [['%.'], '[leave]', '%'],
    [['\u001d.'], '[leave]', '\u001d'],
  ] as const)
    t.equal(await typed([...parts], character), expected, JSON.stringify(parts))
})

t.test('on a terminal', async t => {
  const cpud = await startCpud(t, 'unix')
  const file = (name: string) => path.join(cpud.directory, name)
  const withConfig = (lines: string[]): Target => ({
    flags: ['-9p=false', '-key', file('key'), '-hk', file('host.pub')],
    host: 'board',
    env: homeWith(t, ['Host board', `HostName unix${cpud.host}`, ...lines]).env,
  })
  const SCRIPT = ['sh', '-c', 'stty -echo; echo ready; cat']

  t.test('~. leaves, also when nobody answers any more', async t => {
    const terminal = startOnTerminal(t, withConfig([]), SCRIPT)
    t.ok(await terminal.shows(/ready/))
    t.notOk(await terminal.isCooked())
    cpud.daemon.kill('SIGSTOP')
    terminal.type('x\r~.')
    t.equal(await terminal.ended, 255)
    cpud.daemon.kill('SIGCONT')
    t.ok(await terminal.shows(/cpu: the session was left before the command ended\r\n$/))
    t.ok(await terminal.isCooked())
  })

  t.test('~? helps, ~~ is one of them', async t => {
    const terminal = startOnTerminal(t, withConfig([]), SCRIPT)
    await terminal.shows(/ready/)
    terminal.type('~?')
    t.ok(await terminal.shows(/~\^Z {2}suspend cpu\r\n/))
    terminal.type('~~one\r')
    t.ok(await terminal.shows(/\r\n~one\r\n/))
    terminal.type('two~.\r')
    t.ok(await terminal.shows(/two~\.\r\n/), 'not after something else')
  })

  t.test('~^Z stops cpu with the terminal as it was, and it goes on', async t => {
    // A shell with job control: without one nothing would start it again, and the kernel does not stop it.
    const script = 'set -m; "$@"; echo stopped; read go; fg'
    const terminal = startOnTerminal(t, withConfig([]), SCRIPT, { script })
    t.ok(await terminal.shows(/ready/))
    terminal.type('~\u001a')
    t.ok(await terminal.shows(/stopped\r\n/))
    t.ok(await terminal.isCooked())
    terminal.type('go\r')
    t.ok(await eventually(async () => !(await terminal.isCooked())), 'and raw again')
    terminal.type('on\r')
    t.ok(await terminal.shows(/\non\r\n/))
    terminal.type('\u0004')
    t.equal(await terminal.ended, 0)
  })

  t.test('EscapeChar', async t => {
    const none = startOnTerminal(t, withConfig(['EscapeChar none']), SCRIPT)
    await none.shows(/ready/)
    none.type('~.\r')
    t.ok(await none.shows(/~\.\r\n/))
    const other = startOnTerminal(t, withConfig(['EscapeChar ^]']), SCRIPT)
    await other.shows(/ready/)
    other.type('\u001d.')
    t.equal(await other.ended, 255)
  })

  t.test('the terminal is restored when the program ends', async t => {
    const terminal = startOnTerminal(t, withConfig([]), SCRIPT)
    await terminal.shows(/ready/)
    terminal.type('\u0004')
    t.ok(await eventually(() => terminal.isCooked()))
  })
})
