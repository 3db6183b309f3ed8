// Capabilities as /proc tells them, of processes that have some, none, or those of a user namespace.
import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { packageRoot } from '../../src/version.js'

const module = path.join(packageRoot(), 'dist/src/native/capabilities.js')
const script = `
import { capability, isAmongAllUsers, isCapable } from ${JSON.stringify(module)}
console.log(isCapable(capability.dacOverride), isCapable(capability.sysAdmin), isAmongAllUsers())`

async function ask(...prefix: string[]): Promise<string> {
  const [command = '', ...args] = [...prefix, process.execPath, '--input-type=module', '-e', script]
  const { NODE_OPTIONS: _, ...env } = process.env
  return (await promisify(execFile)(command, args, { env })).stdout.trim()
}

t.test('what root may do, and less', async t => {
  t.equal(await ask(), 'true true true')
  t.equal(await ask('setpriv', '--bounding-set=-dac_override', '--inh-caps=-dac_override'), 'false true true')
  t.equal(await ask('setpriv', '--bounding-set=-all', '--inh-caps=-all'), 'false false true')
  t.equal(await ask('unshare', '--user', '--map-root-user'), 'true true false', 'root in a user namespace')
})
