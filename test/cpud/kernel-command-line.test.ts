// The kernel's command line, as PID 1 reads it.
import t from 'tap'
import { commandLineConfig, kernelParameters } from '../../src/cpud/kernel-command-line.js'

t.test('words as the kernel has them', async t => {
  const cases: [line: string, words: [name: string, value: string][]][] = [
    ['', []],
    ['\n', []],
    [
      'quiet console=ttyS0,115200 panic=-1\n',
      [
        ['quiet', ''],
        ['console', 'ttyS0,115200'],
        ['panic', '-1'],
      ],
    ],
    [
      'a="b c" "d=e f" g="h i',
      [
        ['a', 'b c'],
        ['d', 'e f'],
        ['g', 'h i'],
      ],
    ],
    [
      'a=b=c modules-load=x',
      [
        ['a', 'b=c'],
        ['modules_load', 'x'],
      ],
    ],
    ['ip=off -- -pk /keys ip=dhcp', [['ip', 'off']]],
    [
      'ip="a -- b" x',
      [
        ['ip', 'a -- b'],
        ['x', ''],
      ],
    ],
  ]
  for (const [line, words] of cases)
    t.strictSame(
      kernelParameters(line).map(({ name, value }) => [name, value]),
      words,
      line,
    )
})

t.test('what it says of the machine', async t => {
  const of = (line: string) => commandLineConfig(line)
  t.strictSame(of('quiet'), { config: { modules: [] }, problems: [] })
  t.strictSame(of('hostname=board modules_load=virtio_net,fuse modules-load=/x.ko,, ip=dhcp').config, {
    hostname: 'board',
    modules: ['virtio_net', 'fuse', '/x.ko'],
    network: { ipv4: 'dhcp' },
  })
  t.strictSame(
    of('ip=dhcp ip=10.0.0.7').config.network,
    { ipv4: { address: '10.0.0.7', prefix: 8 } },
    'the last',
  )
  t.equal(of('ip=:::::eth0:x hostname=b').config.hostname, 'b', 'the rest is taken')
})

t.test('ip=, as the kernel documents it', async t => {
  const ip = (value: string) => commandLineConfig(`ip=${value}`).config
  for (const value of ['off', 'none', ':::::eth0:off']) t.strictSame(ip(value), { modules: [] }, value)
  for (const value of ['dhcp', 'on', 'any', '', '::::::dhcp'])
    t.strictSame(ip(value).network, { ipv4: 'dhcp' }, value)
  t.strictSame(ip('::::board:eth1:dhcp'), {
    modules: [],
    hostname: 'board',
    network: { ipv4: 'dhcp', interface: 'eth1' },
  })
  t.strictSame(
    ip('192.0.2.7:192.0.2.1:192.0.2.1:255.255.255.128:board:eth0:off:192.0.2.2:192.0.2.3:192.0.2.4'),
    {
      modules: [],
      hostname: 'board',
      network: {
        interface: 'eth0',
        ipv4: {
          address: '192.0.2.7',
          prefix: 25,
          gateway: '192.0.2.1',
          nameservers: ['192.0.2.2', '192.0.2.3'],
        },
      },
    },
  )
  const prefixes: [string, number][] = [
    ['10.0.0.7', 8],
    ['172.16.0.7', 16],
    ['192.168.0.7:', 24],
  ]
  for (const [value, prefix] of prefixes) t.match(ip(value).network, { ipv4: { prefix } }, value)
})

t.test('what cannot be used is said, and left out', async t => {
  const says: [value: string, message: RegExp][] = [
    ['bootp', /^ip=bootp on the kernel's command line: "bootp" is neither dhcp nor off$/],
    ['1.2.3', /not an IPv4 address: 1.2.3$/],
    ['1.2.3.4::5', /not an IPv4 address: 5$/],
    ['1.2.3.4:::255.0.255.0', /not a netmask: 255.0.255.0$/],
    ['1.2.3.4:::::::x', /not an IPv4 address: x$/],
    ['[2001:db8::1]::::::', /not an IPv4 address/],
  ]
  for (const [value, message] of says) {
    const { config, problems } = commandLineConfig(`ip=${value} hostname=board`)
    t.strictSame(config, { modules: [], hostname: 'board' }, value)
    t.match(problems, [{ code: 'ERR_CPU_BOOT_OPTION', message, remedy: /ip=dhcp/ }])
  }
})
