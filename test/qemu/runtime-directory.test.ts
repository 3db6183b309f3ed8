import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { machineDirectories, openRuntimeDirectory, runtimeDirectory } from '../../src/runtime-directory.js'

const base = mkdtempSync('/tmp/runtime-test-')
t.teardown(() => rmSync(base, { recursive: true }))

t.test('where it is', t => {
  t.equal(runtimeDirectory({ XDG_RUNTIME_DIR: '/run/user/1000' }), '/run/user/1000/cpu-harness')
  t.equal(runtimeDirectory({ XDG_RUNTIME_DIR: 'relative' }), `/tmp/cpu-harness-${process.getuid?.()}`)
  t.equal(runtimeDirectory({}), `/tmp/cpu-harness-${process.getuid?.()}`)
  t.end()
})

t.test('made for its owner alone, once', t => {
  const directory = join(base, 'new')
  t.strictSame(machineDirectories(directory), [])
  t.equal(openRuntimeDirectory(directory), directory)
  t.equal(statSync(directory).mode & 0o7777, 0o700)
  t.equal(openRuntimeDirectory(directory), directory)
  mkdirSync(join(directory, 'b'))
  mkdirSync(join(directory, 'a'))
  mkdirSync(join(directory, '.hidden'))
  t.strictSame(machineDirectories(directory), [join(directory, 'a'), join(directory, 'b')])
  t.end()
})

t.test('what somebody else may have put there is refused', t => {
  const refused = { code: 'ERR_CPU_RUNTIME_DIRECTORY' }
  const link = join(base, 'link')
  mkdirSync(join(base, 'target'), { mode: 0o700 })
  symlinkSync(join(base, 'target'), link)
  t.throws(() => openRuntimeDirectory(link), { ...refused, message: /symbolic link/ })
  t.throws(() => machineDirectories(link), refused)

  const open = join(base, 'open')
  mkdirSync(open)
  chmodSync(open, 0o777)
  t.throws(() => openRuntimeDirectory(open), { ...refused, message: /open to others/ })

  const foreign = join(base, 'foreign')
  mkdirSync(foreign, { mode: 0o700 })
  chownSync(foreign, 65534, 65534)
  t.throws(() => openRuntimeDirectory(foreign), { ...refused, message: /belongs to uid 65534/ })

  const file = join(base, 'file')
  writeFileSync(file, '', { mode: 0o600 })
  t.throws(() => openRuntimeDirectory(file), { ...refused, message: /not a directory/ })
  t.throws(() => openRuntimeDirectory(join(base, 'no/such/parent')), { ...refused, message: /cannot create/ })
  t.end()
})
