import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { sharedLibraries } from '../../qemu/libraries.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

t.test('of several programs, each library once, and the loader', async t => {
  const libraries = await sharedLibraries([process.execPath, '/bin/sh', '/bin/ls'])
  t.equal(new Set(libraries).size, libraries.length)
  for (const library of libraries) t.ok(fs.existsSync(library), library)
  for (const name of [/\/libc\.so\.6$/, /\/ld-linux/, /\/libstdc\+\+\.so/, /\/libselinux\.so/])
    t.equal(libraries.filter(library => name.test(library)).length, 1, String(name))
})

t.test('a script has none, and hides none', async t => {
  const script = path.join(temporaryDirectory(t), 'script')
  fs.writeFileSync(script, '#!/bin/sh\n', { mode: 0o755 })
  t.strictSame(await sharedLibraries([script]), [])
  t.strictSame(await sharedLibraries([script, '/bin/sh']), await sharedLibraries(['/bin/sh']))
})

t.test('what is not there is named', async t => {
  const directory = temporaryDirectory(t)
  const at = (name: string) => path.join(directory, name)
  const compile = (name: string, ...more: string[]) =>
    execFileSync('g++', ['-shared', '-o', at(name), ...more, '-x', 'c++', '/dev/null'])
  compile('libneeded.so')
  compile('user.so', '-Wl,--no-as-needed', at('libneeded.so'))
  fs.rmSync(at('libneeded.so'))
  await t.rejects(sharedLibraries(['/bin/sh', at('user.so')]), {
    code: 'ERR_CPU_VM_LIBRARIES',
    message: /libneeded\.so is not found, .*user\.so needs/,
  })
  fs.writeFileSync(at('script'), '#!/bin/sh\n')
  for (const others of [[], ['/bin/sh'], [at('script')]])
    await t.rejects(sharedLibraries([...others, at('gone')]), { code: 'ERR_CPU_VM_LIBRARIES' }, `${others}`)
})

t.test('without ldd', async t => {
  const search = process.env.PATH
  process.env.PATH = temporaryDirectory(t)
  t.teardown(() => {
    process.env.PATH = search
  })
  await t.rejects(sharedLibraries(['/bin/sh']), { code: 'ERR_CPU_VM_LIBRARIES', remedy: /install ldd/ })
})
