// What process 1 takes from its flags and the places where nothing is named.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadModules } from '../../src/cpud/kernel-modules.js'
import { hostnameFile, INIT_PLACES, parseInitFlags, serveSettings } from '../../src/cpud/settings.js'
import { generateKey } from '../../src/ssh/generate-key.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

t.test("flags among the kernel's words", async t => {
  const passedOver: string[] = []
  const flags = parseInitFlags(['splash', '-sp', '2222', 'single', '-net=vsock', '-net', 'tcp'], line =>
    passedOver.push(line),
  )
  t.match(flags, { sp: 2222, net: ['vsock', 'tcp'] })
  t.match(passedOver, [/^splash, /, /^single, /])
  t.throws(() => parseInitFlags(['splash', '-nte', 'vsock'], () => {}), {
    code: 'ERR_CPU_USAGE',
    message: 'unknown flag -nte',
  })
})

t.test('nobody gets in where nobody is named', async t => {
  const directory = temporaryDirectory(t)
  const places = { keys: join(directory, 'authorized_keys'), hostKey: join(directory, 'host') }
  const settings = (...args: string[]) =>
    serveSettings(
      parseInitFlags(args, () => {}),
      places,
      () => {},
    )
  t.throws(() => settings(), {
    code: 'ERR_CPU_USAGE',
    message: `who may log in is not said: there is no ${places.keys}`,
    remedy: /-pk FILE behind --/,
  })
  writeFileSync(places.keys, '# nobody\n')
  t.throws(() => settings(), { message: `${places.keys} holds no key that could log in` })
  t.throws(() => settings('-pk', '/nope'), { message: '/nope (-pk) holds no key that could log in' })
  writeFileSync(places.keys, generateKey('you').public)
  const { keys, hostKey, addresses } = settings()
  t.equal(keys?.().length, 1)
  t.match(hostKey, /^-----BEGIN OPENSSH PRIVATE KEY-----/)
  t.equal(settings().hostKey, hostKey, 'it is kept')
  t.match(addresses, [{ net: 'tcp', host: '::', port: 17010 }])
  t.equal(settings('-insecure-no-auth').keys, undefined)
  t.strictSame(INIT_PLACES, { keys: '/etc/cpu/authorized_keys', hostKey: '/etc/cpu/host_ed25519_key' })
})

t.test('/etc/hostname', async t => {
  const file = join(temporaryDirectory(t), 'hostname')
  t.equal(hostnameFile(file), undefined)
  writeFileSync(file, '# of the bench\n\n board \nrest\n')
  t.equal(hostnameFile(file), 'board')
})

t.test('modules that are nowhere', async t => {
  const directory = temporaryDirectory(t)
  const problems: Error[] = []
  const load = (...names: string[]) => {
    problems.length = 0
    loadModules(names, error => problems.push(error), directory)
    return problems
  }
  t.match(load('nope'), [
    {
      code: 'ERR_CPU_BOOT_OPTION',
      message: `no kernel module nope in ${directory}/modules.dep`,
      remedy: /depmod/,
    },
  ])
  writeFileSync(
    join(directory, 'modules.dep'),
    'kernel/a.ko: kernel/b.ko kernel/c.ko\nkernel/b.ko: kernel/c.ko\nkernel/c.ko:\n',
  )
  writeFileSync(join(directory, 'modules.builtin'), 'kernel/drivers/virtio/virtio-pci.ko\n')
  t.strictSame(load('virtio_pci', 'virtio-pci'), [], 'part of the kernel')
  t.match(
    load('a', '/x.ko', 'b'),
    ['kernel/c.ko', '/x.ko', 'kernel/c.ko'].map(name => ({ code: 'ENOENT', path: new RegExp(`${name}$`) })),
    'dependencies first, each by itself',
  )
})
