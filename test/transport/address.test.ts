import t from 'tap'
import { UsageError } from '../../src/errors.js'
import { formatAddress, knownHostsName, parseU32, splitHost, toAddress } from '../../src/transport/address.js'

t.test('numbers are read as Go reads base 0', async t => {
  const cases: [string, number | undefined][] = [
    ['3', 3],
    ['0', 0],
    ['0x10', 16],
    ['0X1f', 31],
    ['010', 8],
    ['0o17', 15],
    ['0b101', 5],
    ['4294967295', 0xffff_ffff],
    ['4294967296', undefined],
    ['-1', undefined],
    ['08', undefined],
    ['3a', undefined],
    ['', undefined],
    [' 3', undefined],
  ]
  for (const [text, value] of cases) t.equal(parseU32(text), value, JSON.stringify(text))
})

t.test('a host may choose the transport', async t => {
  t.same(splitHost('board'), { host: 'board' })
  t.same(splitHost('vsock/3'), { net: 'vsock', host: '3', port: undefined })
  t.same(splitHost('vsock/3:5000'), { net: 'vsock', host: '3', port: 5000 })
  t.same(splitHost('unix/run/cpu.sock'), { net: 'unix', host: '/run/cpu.sock' })
  t.same(splitHost('vsock-mux/run/v.sock'), { net: 'unix-vsock', host: '/run/v.sock' })
  t.same(splitHost('virtio-serial/run/v'), { net: 'serial', host: '/run/v' })
  t.same(splitHost('unixes'), { host: 'unixes' })
})

t.test('addresses, and the names under which host keys are kept', async t => {
  const cases = [
    [{ host: 'board' }, 'board:17010', '[board]:17010'],
    [{ host: '::1', port: 22 }, '[::1]:22', '::1'],
    [{ net: 'vsock', host: '3' }, 'vsock/3:17010', 'vsock/3'],
    [{ net: 'vsock', host: '0x3', port: 0xffff_fff0 }, 'vsock/3:4294967280', '[vsock/3]:4294967280'],
    [{ net: 'unix', host: '/run/c' }, 'unix/run/c', 'unix/run/c'],
    [{ net: 'unix-vsock', host: '/run/v', port: 7 }, 'unix/run/v vsock port 7', '[unix/run/v]:7'],
    [{ net: 'serial', host: '/run/v' }, 'virtio-serial/run/v', 'virtio-serial/run/v'],
  ] as const
  for (const [parts, shown, known] of cases) {
    const address = toAddress(parts)
    t.equal(formatAddress(address), shown)
    t.equal(knownHostsName(address), known)
  }
})

t.test('what is no address is named, with the way out', async t => {
  const cases = [
    [{ net: 'vsock', host: 'three' }, /"three" is no vsock context ID/],
    [{ net: 'vsock', host: '4294967296' }, /"4294967296" is no vsock context ID/],
    [{ host: 'board', port: 0 }, /port 0 is out of range/],
    [{ host: 'board', port: 65536 }, /port 65536 is out of range/],
    [{ net: 'vsock', host: '3', port: 4294967296 }, /port 4294967296 is out of range/],
  ] as const
  for (const [parts, message] of cases) {
    t.throws(() => toAddress(parts), { name: 'UsageError', message, remedy: /give a number/ })
  }
  t.throws(() => splitHost('vsock/3:x'), UsageError)
})
