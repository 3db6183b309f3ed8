import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import module from 'node:module'
import path from 'node:path'
import t from 'tap'
import { cachedStart, codeCache } from '../../qemu/code-cache.js'
import { bundleDirectory } from '../../qemu/image.js'
import { version } from '../../src/version.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const program = path.join(bundleDirectory(), 'cpud.cjs')
const directory = temporaryDirectory(t)
const cache = path.join(directory, 'cpud.cache')
/** Says whether V8 takes the code, in a Node without flags, as a guest's is. */
const CHECK = `
const { readFileSync } = require('node:fs')
const [text, cache, filename] = process.argv.slice(1)
const { cachedDataRejected } = new (require('node:vm').Script)(readFileSync(text, 'latin1'), { filename, cachedData: readFileSync(cache) })
console.log(cachedDataRejected)`

function isRejected(text: string, filename: string): string {
  const file = path.join(directory, 'text.js')
  fs.writeFileSync(file, text)
  return execFileSync(process.execPath, ['-e', CHECK, file, cache, filename], {
    env: {},
    encoding: 'utf8',
  }).trim()
}

function start(): { code: number | null; stdout: string; stderr: string } {
  const file = path.join(directory, 'start.cjs')
  fs.writeFileSync(file, cachedStart(program, cache))
  const { status, stdout, stderr } = spawnSync(process.execPath, [file, '-version'], {
    env: {},
    encoding: 'utf8',
  })
  return { code: status, stdout, stderr }
}

t.test('the code of cpud is what Node takes, whole', async t => {
  const filename = '/cpu-harness/cpud.cjs'
  fs.writeFileSync(cache, await codeCache(program, filename))
  const text = module.wrap(fs.readFileSync(program, 'latin1').replace(/^#!.*/, ''))
  t.equal(isRejected(text, filename), 'false')
  t.equal(isRejected(`${text} `, filename), 'true', 'of another program it is not')
  t.ok(fs.statSync(cache).size > fs.statSync(program).size, 'all functions are in it')
})

t.test('cpud starts by it, and without it where it is damaged', async t => {
  fs.writeFileSync(cache, await codeCache(program, program))
  const started = { code: 0, stdout: `cpud ${version()}\n`, stderr: '' }
  t.strictSame(start(), started)
  fs.truncateSync(cache, 1000)
  t.strictSame(start(), started)
})

t.test('what is no program', async t => {
  const file = path.join(directory, 'broken.cjs')
  fs.writeFileSync(file, 'function (')
  await t.rejects(codeCache(file, '/x'), {
    code: 'ERR_CPU_VM_CODE_CACHE',
    message: /^Node does not compile \S+broken.cjs: \S/,
  })
})
