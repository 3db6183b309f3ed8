import { execFile } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { listCpio } from '../../qemu/cpio-list.js'
import { baseImage, bundleDirectory } from '../../qemu/image.js'
import { startupSnapshot } from '../../qemu/startup-snapshot.js'
import { serverCiphers, thisProcessor } from '../../src/ssh/algorithms.js'
import { cpu } from '../fixtures/cpu-command.js'
import { startCpud } from '../fixtures/local-cpud.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'
import { realKernel } from './real-kernel.js'

const kernel = await realKernel()
const run = promisify(execFile)

for (const [name, native] of [
  ['with native ciphers', ['cpu_harness.node', 'sshcrypto.node']],
  ['without them', ['cpu_harness.node']],
] as const)
  t.test(`cpud starts from its snapshot, ${name}`, async t => {
    const directory = temporaryDirectory(t)
    const at = (file: string) => path.join(directory, file)
    for (const file of ['cpud.cjs', ...native]) fs.copyFileSync(path.join(bundleDirectory(), file), at(file))
    fs.writeFileSync(at('blob'), await startupSnapshot(at('cpud.cjs'), at('cpud.cjs')))
    fs.rmSync(at('cpud.cjs'))
    const target = await startCpud(t, 'tcp', { program: [`--snapshot-blob=${at('blob')}`, 'cpud'] })
    const { code, stdout, stderr } = await cpu(target, ['sh', '-c', 'cat; exit 3'], { input: 'to and fro' })
    t.equal(stdout.toString(), 'to and fro', stderr)
    t.equal(code, 3)
    for (const cipher of serverCiphers(thisProcessor())) {
      const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', `Ciphers=${cipher}`]
      const where = ['-i', path.join(target.directory, 'key'), '-p', `${target.port}`, '127.0.0.1']
      const ssh = ['-F', 'none', ...options.flatMap(option => ['-o', option]), ...where]
      t.match(await run('ssh', [...ssh, 'echo', 'on']), { stdout: 'on\n' }, cipher)
    }
    t.equal(target.log().includes('sshcrypto.node'), native.length === 1)
  })

t.test('what Node makes none of is said, and guests start from its text', async t => {
  const directory = temporaryDirectory(t)
  t.intercept(process, 'env', { value: { ...process.env, XDG_CACHE_HOME: directory, TMPDIR: directory } })
  const bundle = path.join(directory, 'bundle')
  fs.mkdirSync(bundle)
  const file = path.join(bundle, 'cpud.cjs')
  fs.writeFileSync(file, 'throw new Error("not here")')
  const message = /^Node makes no start-up snapshot of \S+\/cpud.cjs: Error: not here$/
  await t.rejects(startupSnapshot(file, '/x'), { code: 'ERR_CPU_VM_STARTUP_SNAPSHOT', message })
  const said: string[] = []
  const image = await baseImage({ kernel, bundle, onProgress: line => said.push(line) })
  t.match(said, [/^cpud will start slower in its guests: Node makes no start-up snapshot .*not here$/])
  t.notOk((await listCpio(image)).some(({ path: name }) => name.endsWith('cpud.blob')))
  t.match(fs.readFileSync(image, 'latin1'), "#!/cpu-harness/node\nrequire('/cpu-harness/cpud.cjs')\n")
  t.strictSame(fs.readdirSync(directory).sort(), ['bundle', 'cpu-harness'], 'nothing else is left')
})
