// Where `cpu` would go, by what the command line and ssh_config say: the first lines of -dry-run.
import os from 'node:os'
import t from 'tap'
import { cpu } from '../fixtures/cpu-command.js'
import { homeWith } from '../fixtures/home.js'

const ME = os.userInfo().username
const CONFIG = [
  'Host named',
  ' HostName 192.0.2.1',
  ' User somebody',
  'Host ported',
  ' Port 22',
  'Host guest',
  ' HostName vsock/7',
  ' Port 5',
  'Host guest-port',
  ' HostName vsock/7:99',
  ' Port 5',
  'Host socket',
  ' HostName unix/run/%h.sock',
  'Host vsock/3',
  ' User root3',
  'Host vsock/5',
  ' ProxyCommand relay %h %p',
  'Host unix/run/z',
  ' User zed',
  'Host far',
  ' ProxyJump a,me@vsock/9:2022,[::1]:23',
]

async function goes(t: Parameters<typeof homeWith>[0], words: string[]) {
  const [host = '', ...flags] = [...words].reverse()
  const target = { flags: ['-dry-run', '-9p=false'], host, env: homeWith(t, CONFIG).env }
  return cpu(target, ['true'], { flags: flags.reverse() })
}

t.test('where it goes, and as whom', async t => {
  for (const [line, where, user = ME] of [
    ['board', 'board:17010'],
    ['-sp 22 board', 'board:22'],
    ['ported', 'ported:22'],
    ['-sp 23 ported', 'ported:23'],
    ['-net tcp6 ::1', '[::1]:17010'],
    ['named', '192.0.2.1:17010', 'somebody'],
    ['-net tcp4 named', '192.0.2.1:17010', 'somebody'],
    ['me@named', '192.0.2.1:17010', 'me'],
    ['-user you me@named', '192.0.2.1:17010', 'you'],
    ['a@b@board', 'board:17010', 'a@b'],
    ['vsock/4', 'vsock/4:17010'],
    ['vsock/4:99', 'vsock/4:99'],
    ['-sp 22 vsock/4:99', 'vsock/4:22'],
    ['-net vsock 0x10', 'vsock/16:17010'],
    ['vsock/3', 'vsock/3:17010', 'root3'],
    ['vsock/3:99', 'vsock/3:99', 'root3'],
    ['-net vsock 3', 'vsock/3:17010', 'root3'],
    ['me@vsock/3', 'vsock/3:17010', 'me'],
    ['guest', 'vsock/7:5'],
    ['guest-port', 'vsock/7:99'],
    ['unix/run/x.sock', 'unix/run/x.sock'],
    ['unix/run/a@b', 'unix/run/a@b'],
    ['me@unix/run/x', 'unix/run/x', 'me'],
    ['-net unix /run/x', 'unix/run/x'],
    ['-net unix /run/z', 'unix/run/z', 'zed'],
    ['unix/run/z', 'unix/run/z', 'zed'],
    ['-net unix-vsock -sp 5 /run/x', 'unix/run/x vsock port 5'],
    ['socket', 'unix/run/socket.sock'],
  ] as const) {
    const { stdout, stderr } = await goes(t, line.split(' '))
    t.equal(stdout.toString().split('\n')[0], `# on ${where} as ${user}`, `${line} ${stderr}`)
  }
})

t.test('%p is the port that the name has', async t => {
  for (const [line, command] of [
    ['vsock/5:99', 'relay vsock/5 99'],
    ['vsock/5', 'relay vsock/5 17010'],
    ['-sp 4 vsock/5', 'relay vsock/5 4'],
  ] as const) {
    const { stdout } = await goes(t, line.split(' '))
    t.equal(stdout.toString().split('\n')[1], `# through ${command}`)
  }
})

t.test('hosts on the way have the port of ssh', async t => {
  const { stdout } = await goes(t, ['far'])
  t.same(stdout.toString().split('\n').slice(0, 4), [
    `# on far:17010 as ${ME}`,
    `# through [::1]:23 as ${ME}`,
    '# through vsock/9:2022 as me',
    `# through a:22 as ${ME}`,
  ])
})

t.test('what cannot be', async t => {
  for (const [line, message] of [
    ['vsock/x', /"x" is no vsock context ID/],
    ['vsock/4:', /port {2}is out of range/],
    ['-sp 70000 board', /port 70000 is out of range/],
    ['-key /no/such/key board', /cannot read the private key \/no\/such\/key: no such file/],
    ['-key /etc/passwd board', /cannot use \/etc\/passwd as a private key/],
    ['-hk /no/such/file board', /cannot read \/no\/such\/file \(-hk\)/],
  ] as const) {
    const { stderr, code } = await goes(t, line.split(' '))
    t.match(stderr, message, line)
    t.not(code, 0)
  }
})
