// cpud as V8 has compiled it, so that a guest need not. A Node of another version passes it over (node:vm, `cachedData`),
// and compiles.

import { execa } from 'execa'
import { CpuError } from '../src/errors.js'

const LIMIT_MS = 60_000

/** Both see the same text, which is ASCII, under the same name, as Node has it for a CommonJS module. */
const COMPILE = `const { readFileSync } = require('node:fs')
const { createRequire, wrap } = require('node:module')
const { Script } = require('node:vm')
const compile = (path, filename, cachedData) =>
  new Script(wrap(readFileSync(path, 'latin1').replace(/^#!.*/, '')), { filename, cachedData })
const run = (script, filename) =>
  script.runInThisContext()({}, createRequire(filename), { exports: {} }, filename, require('node:path').dirname(filename))
`

/** The text of a script that runs `program` with the code in `cache`; both are paths in the guest. */
export function cachedStart(program: string, cache: string): string {
  return `${COMPILE}
run(compile('${program}', '${program}', readFileSync('${cache}')), '${program}')
`
}

/** All functions: by default V8 compiles one when it is first called. The result bears a hash of the flags, which are the default by then. */
const PRODUCE = `${COMPILE}
const { setFlagsFromString } = require('node:v8')
const [program, filename] = process.argv.slice(1)
setFlagsFromString('--no-lazy')
const script = compile(program, filename)
setFlagsFromString('--lazy')
process.stdout.write(script.createCachedData())
`

/** The code of `program`, a CommonJS bundle of ours, for where it is `filename`. Throws CpuError ERR_CPU_VM_CODE_CACHE. */
export async function codeCache(program: string, filename: string): Promise<Buffer> {
  const { stdout, stderr, failed } = await execa(process.execPath, ['-e', PRODUCE, program, filename], {
    encoding: 'buffer',
    stripFinalNewline: false,
    env: {},
    extendEnv: false,
    reject: false,
    timeout: LIMIT_MS,
    stdin: 'ignore',
  })
  if (!failed && stdout.length > 0) return Buffer.from(stdout)
  const said = Buffer.from(stderr).toString()
  const reason = said.split('\n').find(line => line.includes('Error')) ?? 'it ended early'
  throw new CpuError('ERR_CPU_VM_CODE_CACHE', `Node does not compile ${program}: ${reason}`, {
    remedy: 'npm run build',
  })
}
