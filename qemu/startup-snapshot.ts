// cpud as V8 has it once all of it is loaded, with Node's own modules: a guest's Node starts from there
// (nodejs.org/api/cli.html, --build-snapshot). Machine code is not in it, so the guest's processor may be any.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { execa } from 'execa'
import { CpuError } from '../src/errors.js'

const LIMIT_MS = 60_000
/** Node's own that it loads when they are first needed: for `performance`, and to listen. */
const LAZY_MODULES = ['node:perf_hooks', 'node:cluster']

/**
 * The snapshot of `program`, a CommonJS bundle of ours that calls `setDeserializeMainFunction`, for where it is `filename`, beside
 * its native modules. Throws CpuError ERR_CPU_VM_STARTUP_SNAPSHOT: not every Node can.
 */
export async function startupSnapshot(
  program: string,
  filename: string,
  signal?: AbortSignal,
): Promise<Buffer> {
  const directory = await mkdtemp(join(tmpdir(), 'cpu-harness-startup-'))
  const at = (name: string) => join(directory, name)
  try {
    await writeFile(at('program.cjs'), asModule(await readFile(program, 'utf8'), filename))
    // With code in it, Node would take it for processors like this one alone.
    await writeFile(at('config.json'), JSON.stringify({ builder: at('program.cjs'), withoutCodeCache: true }))
    const blob = at('snapshot.blob')
    const start = (...args: string[]) => node(program, [`--snapshot-blob=${blob}`, ...args], signal)
    await start(`--build-snapshot-config=${at('config.json')}`)
    await start('cpud', '-version')
    return await readFile(blob)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function node(program: string, args: string[], signal: AbortSignal | undefined): Promise<void> {
  const { failed, stderr } = await execa(process.execPath, args, {
    env: {},
    extendEnv: false,
    reject: false,
    timeout: LIMIT_MS,
    stdin: 'ignore',
    ...(signal === undefined ? {} : { cancelSignal: signal }),
  })
  signal?.throwIfAborted()
  if (!failed) return
  const reason = stderr.split('\n').find(line => /^(\w*Error|Unknown|FATAL|#)/.test(line)) ?? 'it ended early'
  throw new CpuError(
    'ERR_CPU_VM_STARTUP_SNAPSHOT',
    `Node makes no start-up snapshot of ${program}: ${reason}`,
  )
}

/** What Node puts around a module; native ones are not loaded by its `require` there. */
function asModule(text: string, filename: string): string {
  const folder = JSON.stringify(dirname(filename))
  return `${LAZY_MODULES.map(name => `require('${name}')\n`).join('')}
const load = name => {
  const module = { exports: {} }
  process.dlopen(module, require('node:path').join(${folder}, name))
  return module.exports
};
(function (require, module, exports, __filename, __dirname) {${text.replace(/^#!.*/, '')}
})(name => (name.endsWith('.node') ? load : require)(name), {}, {}, ${JSON.stringify(filename)}, ${folder})
`
}
