import fs from 'node:fs'
import type ssh2 from 'ssh2'
import t from 'tap'
import {
  clientCiphers,
  encryptsNatively,
  parseProcessor,
  SLOW_ENCRYPTION,
  serverCiphers,
  thisProcessor,
} from '../../src/ssh/algorithms.js'
import { sshPair } from '../fixtures/ssh-pair.js'

const X86 = 'processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu vme sse2 aes xsave\nbogomips\t: 1\n'
const ARM =
  'processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU part\t: 0xd08\n'

t.test('a processor is known by its features', async t => {
  t.same(parseProcessor(X86), { aes: true })
  t.same(parseProcessor(X86.replace(' aes', '')), { aes: false })
  t.same(parseProcessor(X86.replace(' aes', ' vaes')), { aes: false }, 'whole words count')
  t.same(parseProcessor(ARM), { aes: false }, 'Raspberry Pi 4')
  t.same(parseProcessor(ARM.replace('crc32', 'aes pmull crc32')), { aes: true })
  t.same(parseProcessor('processor\t: 0\nisa\t: rv64imafdc\nmmu\t: sv39\n'), { aes: false })
  t.same(parseProcessor('features\t: esan3 zarch msa\n'), { aes: true }, 's390x')
  t.same(parseProcessor(''), { aes: true })
  t.same(thisProcessor(), parseProcessor(fs.readFileSync('/proc/cpuinfo', 'latin1')))
})

t.test('the fastest cipher comes first', async t => {
  t.same(clientCiphers({ aes: true }), [
    'aes128-gcm@openssh.com',
    'aes256-gcm@openssh.com',
    'chacha20-poly1305@openssh.com',
    'aes128-ctr',
    'aes256-ctr',
  ])
  t.equal(clientCiphers({ aes: false })[0], 'chacha20-poly1305@openssh.com')
  t.same(clientCiphers({ aes: false }).sort(), clientCiphers({ aes: true }).sort(), 'and none is refused')
})

t.test('either side without AES makes it ChaCha20', async t => {
  for (const client of [true, false]) {
    for (const server of [true, false]) {
      const pair = await sshPair(t, {
        client: clientCiphers({ aes: client }),
        server: serverCiphers({ aes: server }),
      })
      const cipher = client && server ? 'aes128-gcm@openssh.com' : 'chacha20-poly1305@openssh.com'
      t.same(pair.log, [`encrypted with ${cipher}`], `client ${client}, server ${server}`)
    }
  }
})

t.test('a client that has only AES gets AES', async t => {
  const pair = await sshPair(t, { client: ['aes256-ctr'], server: serverCiphers({ aes: false }) })
  t.same(pair.log, ['encrypted with aes256-ctr'])
})

t.test("ssh2's native part is there, and both ends use it", async t => {
  // a new version of ssh2 that hides it comes to light here
  const { client, server } = await sshPair(t)
  t.equal(encryptsNatively(client), true, SLOW_ENCRYPTION)
  t.equal(encryptsNatively(server), true)
  t.equal(encryptsNatively({} as ssh2.Client), undefined)
  t.equal(encryptsNatively({ _protocol: { _cipher: { outSeqno: 3 } } } as unknown as ssh2.Client), false)
})
