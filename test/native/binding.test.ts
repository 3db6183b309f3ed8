import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { CpuError, SystemError } from '../../src/errors.js'
import { addonCandidates, binding, check, loadAddon } from '../../src/native/binding.js'

const bindingUrl = new URL('../../src/native/binding.js', import.meta.url)

t.test('looks beside the script, then for a prebuilt one, then for a built one', async t => {
  const root = t.testdir({ 'package.json': '{}', dist: { src: { native: {} } } })
  const folder = join(root, 'dist', 'src', 'native')
  t.same(addonCandidates({}, folder), [
    join(folder, 'cpu_harness.node'),
    join(root, 'prebuilds', `linux-${process.arch}`, 'cpu_harness.node'),
    join(root, 'build', 'Release', 'cpu_harness.node'),
  ])
})

t.test('a path in the environment is the only candidate', async t => {
  t.same(addonCandidates({ CPU_HARNESS_ADDON: '/x.node' }), ['/x.node'])
})

t.test('a missing addon lists what was tried and how to get one', async t => {
  const root = t.testdir()
  mkdirSync(join(root, 'a'))
  const broken = join(root, 'a', 'cpu_harness.node')
  writeFileSync(broken, 'not an addon')
  const missing = join(root, 'cpu_harness.node')
  t.throws(() => loadAddon([missing, broken]), {
    name: 'CpuError',
    code: 'ERR_CPU_NATIVE_MISSING',
    message: new RegExp(`${missing} \\(no such file\\), ${broken} \\(.*`),
    remedy: /node-gyp rebuild/,
  })
  t.ok(new CpuError('X', 'y'))
})

t.test('is loaded at first use and found directly afterwards', async t => {
  t.notOk(Object.hasOwn(binding, 'closeFd'))
  t.type(binding.closeFd, 'function')
  t.ok(Object.hasOwn(binding, 'closeFd'))
  t.equal(Reflect.get(binding, 'nonsense'), undefined)
})

t.test('check passes results and throws errnos', async t => {
  t.equal(check(5, 'read', 'x'), 5)
  t.throws(() => check(-19, 'mount', 'home on /tmp/cpu type 9p'), {
    code: 'ENODEV',
    errno: -19,
    syscall: 'mount',
    message: 'ENODEV: no such device, mount home on /tmp/cpu type 9p',
  })
  t.throws(() => check(-116, 'fstat', ''), SystemError)
})

t.test('where there is none, only a call says so, and what to do', async t => {
  const script = [
    "Object.defineProperty(process, 'platform', { value: 'darwin' })",
    `const { binding } = await import(${JSON.stringify(String(bindingUrl))})`,
    'try { binding.vsockConnect } catch ({ code, message, remedy }) { console.log(JSON.stringify({ code, message, remedy })) }',
  ]
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', script.join('\n')])
  t.match(JSON.parse(said.toString()), {
    code: 'ERR_CPU_NATIVE_MISSING',
    message: 'vsockConnect is a native call that only Linux has, and this is darwin',
    remedy: /tcp.*need Linux/,
  })
})
