import t from 'tap'
import { defineFlags } from '../../src/cli/flags.js'
import { describeFlag, renderHelp } from '../../src/cli/help.js'

const table = defineFlags({
  net: {
    kind: 'string',
    choices: ['tcp', 'unix', 'vsock'],
    default: 'tcp',
    placeholder: 'N',
    help: 'Transport',
  },
  sp: { kind: 'integer', default: 17010, placeholder: 'PORT', help: 'Port' },
  '9p': { kind: 'boolean', default: true, help: 'No file server' },
  timeout9p: { kind: 'duration', default: 10_000, help: 'Time for the file connection to come back' },
  namespace: {
    kind: 'string',
    placeholder: 'DIR:REMOTE=LOCAL',
    help: 'Which of your directories appear where on the other machine, in the order in which they are given',
  },
  env: { kind: 'list', placeholder: 'A,B=c', help: 'Environment to send' },
  old: { kind: 'boolean', hidden: true, help: 'Accepted for compatibility' },
})

t.test('usage, examples, flags, in 80 columns', async t => {
  const help = renderHelp(table, {
    usage: 'cpu [flags] host [command [args]]',
    summary: 'Runs a command on another machine with your own files under it.',
    examples: [
      { command: 'cpu v date', does: 'the time there' },
      { command: 'cpu -net vsock 3 make', does: 'a build in the virtual machine that has CID 3' },
    ],
    footer: 'All of it: man cpu',
  })
  t.equal(
    help,
    `usage: cpu [flags] host [command [args]]
Runs a command on another machine with your own files under it.

  cpu v date             the time there
  cpu -net vsock 3 make  a build in the virtual machine that has CID 3

flags:
  -net N                Transport (tcp, unix, vsock; default tcp)
  -sp PORT              Port (default 17010)
  -9p=false             No file server
  -timeout9p TIME       Time for the file connection to come back (default 10s)
  -namespace DIR:REMOTE=LOCAL
                        Which of your directories appear where on the other
                        machine, in the order in which they are given
  -env A,B=c            Environment to send (repeatable)

All of it: man cpu
`,
  )
  for (const line of help.split('\n')) t.ok(line.length <= 80, line)
})

t.test('what the text says already is not said again', async t => {
  const choices = ['tcp', 'unix-vsock']
  for (const [flag, expected] of [
    [{ kind: 'string', choices, help: 'tcp or unix-vsock' }, 'tcp or unix-vsock'],
    [{ kind: 'string', choices, help: 'tcp or vsock' }, 'tcp or vsock (tcp, unix-vsock)'],
    [{ kind: 'string', choices, help: 'how (default tcp)' }, 'how (tcp, unix-vsock; default tcp)'],
    [{ kind: 'integer', help: 'how many (default 2, emulated 1)' }, 'how many (default 2, emulated 1)'],
    [{ kind: 'list', help: 'shares; may be repeated' }, 'shares; may be repeated'],
  ] as const)
    t.equal(describeFlag(flag), expected)
})
