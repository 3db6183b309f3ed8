// An address by DHCP: messages byte by byte, and a client's life with a server over a real cable (veth(4)).
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { readLease } from '../../src/cpud/dhcp.js'
import { decodeReply, encodeRequest, messageType } from '../../src/cpud/dhcp-message.js'

const MAC = Buffer.from('020000000007', 'hex')

t.test('a request, byte by byte', async t => {
  const discover = encodeRequest({
    type: messageType.discover,
    transaction: 0xdeadbeef,
    hardwareAddress: MAC,
    options: [[55, Uint8Array.of(1, 3)]],
  })
  t.equal(discover.length, 300)
  t.equal(
    discover.toString('hex').replace(/(00)+$/, ''),
    [
      '01010600deadbeef00008000', // op, htype, hlen, hops, xid, secs, flags
      '00'.repeat(16), // ciaddr, yiaddr, siaddr, giaddr
      '020000000007',
      '00'.repeat(10 + 64 + 128), // the rest of chaddr, sname, file
      '63825363',
      '350101', // DHCPDISCOVER
      '37020103', // parameters
      'ff',
    ].join(''),
  )
  const renewal = encodeRequest({
    type: messageType.request,
    transaction: 1,
    hardwareAddress: MAC,
    clientAddress: Uint8Array.of(10, 9, 0, 7),
    options: [],
  })
  t.equal(renewal.toString('hex', 8, 16), '000000000a090007', 'not to be answered to all')
})

/** A reply of type ACK with these options. */
function reply(options: string, yourAddress = '0a090007'): Buffer {
  const head = Buffer.alloc(240)
  head[0] = 2
  head.set(Buffer.from(yourAddress, 'hex'), 16)
  head.set(MAC, 28)
  head.set(Buffer.from('63825363', 'hex'), 236)
  return Buffer.concat([head, Buffer.from(options, 'hex')])
}

t.test('what a lease says, and what it leaves out', async t => {
  const lease = (options: string, yourAddress?: string) => {
    const decoded = decodeReply(reply(options, yourAddress))
    return decoded && readLease(decoded)
  }
  t.strictSame(
    lease('350105' + '36040a090001' + '0104fffffe00' + '03080a0900010a090002' + '330400000e10' + 'ff'),
    {
      ipv4: { address: '10.9.0.7', prefix: 23, gateway: '10.9.0.1' },
      server: '10.9.0.1',
      leaseMs: 3_600_000,
      renewMs: 1_800_000,
      rebindMs: 3_150_000,
    },
  )
  const endless = { leaseMs: Number.POSITIVE_INFINITY, renewMs: Number.POSITIVE_INFINITY }
  t.match(lease('350105' + '36040a090001' + '3304ffffffff'), { ipv4: { prefix: 8 }, ...endless })
  t.match(lease('350105' + '36040a090001'), endless)
  t.equal(lease('350105' + '330400000e10'), undefined, 'nobody gives it')
  t.equal(lease('350105' + '36040a090001' + '0104ff00ff00'), undefined, 'a mask that is none')
  t.equal(lease('350105' + '36040a090001' + '330400000000'), undefined, 'for no time')
  t.equal(lease('350105' + '36040a090001', '00000000'), undefined, 'no address')
})

t.test('what is no reply', async t => {
  const whole = reply('350105ff')
  t.ok(decodeReply(whole))
  for (let length = 0; length < 243; length++) t.equal(decodeReply(whole.subarray(0, length)), undefined)
  t.equal(decodeReply(reply('350105' + '3604' + '0a0900')), undefined, 'an option past the end')
  t.equal(decodeReply(reply('350105' + '36')), undefined)
  t.equal(decodeReply(reply('0000ff')), undefined, 'of no type')
  for (const [at, name] of [
    [0, 'a request'],
    [237, 'no cookie'],
  ] as const) {
    const wrong = Buffer.from(whole)
    wrong[at] = 1
    t.equal(decodeReply(wrong), undefined, name)
  }
})

interface Event {
  readonly server?: { readonly client: string }
  readonly lease?: unknown
  readonly address?: string | null
}

t.test('asked for, lost, refused, renewed, taken over, taken away, run out', async t => {
  const script = [
    'nothing', // lost: asked again
    'offer',
    'nak',
    'offer',
    'ack',
    'ack', // renewed
    'nothing', // the server does not answer any more ...
    'ack 10.9.0.2', // ... but another does
    'nothing',
    'nak', // not any more
    'offer',
    'ack',
    'nothing', // neither renewed
    'nothing', // nor taken over: it runs out
  ]
  const fixture = fileURLToPath(new URL('../fixtures/dhcp-client.js', import.meta.url))
  const child = spawn(
    'unshare',
    ['--net', '--mount', '--kill-child', process.execPath, fixture, JSON.stringify(script)],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  t.teardown(() => child.kill('SIGKILL'))
  const events: Event[] = []
  for await (const line of createInterface(child.stdout)) events.push(JSON.parse(line))

  const requests = events.flatMap(({ server }) => server ?? [])
  const asksAll = { kind: 'discover', from: '0.0.0.0', requested: null, server: null, broadcast: true }
  const accepts = {
    kind: 'request',
    from: '0.0.0.0',
    requested: '0a090007',
    server: '0a090001',
    broadcast: true,
  }
  const renews = {
    kind: 'request',
    from: '10.9.0.7',
    requested: null,
    server: null,
    broadcast: false,
    ciaddr: '10.9.0.7',
  }
  t.match(requests, [
    asksAll,
    asksAll,
    accepts,
    asksAll,
    accepts,
    renews,
    renews,
    renews,
    renews,
    renews,
    asksAll,
    accepts,
    renews,
    renews,
    asksAll,
  ])
  for (const { client } of requests) t.equal(client, '01020000000007')
  const granted = { lease: { ipv4: { gateway: '10.9.0.1' } }, address: '10.9.0.7/24' }
  const none = { lease: null, address: null }
  t.match(
    events.filter(event => 'lease' in event),
    [granted, { ...granted, lease: { ipv4: { gateway: '10.9.0.2' } } }, none, granted, none],
  )
})
