import fs from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { resolveInExport } from '../../src/client/export-path.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

t.test('links are followed within the export', async t => {
  const root = temporaryDirectory(t)
  fs.mkdirSync(path.join(root, 'usr/lib/deep'), { recursive: true })
  const links = {
    lib: 'usr/lib',
    absolute: '/usr/lib',
    up: '../../../usr',
    chain: 'absolute/deep/..',
    'usr/back': '../lib',
    dangling: 'nothing',
    outside: '/etc',
    loop: 'loop',
  }
  for (const [name, target] of Object.entries(links)) fs.symlinkSync(target, path.join(root, name))
  for (const [from, to] of [
    ['/', '/'],
    ['/usr/lib', '/usr/lib'],
    ['/lib', '/usr/lib'],
    ['/lib/deep', '/usr/lib/deep'],
    ['/absolute', '/usr/lib'],
    ['/up', '/usr'],
    ['/chain', '/usr/lib'],
    ['/usr/back/deep', '/usr/lib/deep'],
    ['/dangling', undefined],
    ['/outside', undefined],
    ['/loop', undefined],
    ['/nothing', undefined],
  ] as const)
    t.equal(resolveInExport(root, from), to, from)
})
