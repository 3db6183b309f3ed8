import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ARCHITECTURES, isForeign } from '../../qemu/architecture.js'
import {
  cleanStaleMachines,
  createMachineDirectory,
  generateKeys,
  initialState,
  listMachines,
  machineFiles,
  sshConfig,
  writeSshFiles,
  writeState,
} from '../../qemu/machine-directory.js'
import { hostConfig } from '../../src/client/ssh-config.js'
import { privateRuntime } from './private-runtime.js'

const vsock = { net: 'vsock', cid: 3, port: 17010 } as const
const tcp = { net: 'tcp', host: '127.0.0.1', port: 40000, family: 4 } as const

t.test('ssh_config: the name is the first address, vsock also by CID', t => {
  const text = sshConfig('/run/cpu-harness/v', [vsock, tcp])
  t.match(text, /^Host v vsock\/3\n {2}HostName vsock\/3\n {2}Port 17010\n {2}User root\n/)
  t.match(
    text,
    /IdentityFile \/run\/cpu-harness\/v\/id_ed25519\n {2}IdentitiesOnly yes\n {2}IdentityAgent none\n {2}ProxyJump none\n/,
  )
  t.match(text, /UserKnownHostsFile \/run\/cpu-harness\/v\/known_hosts\n {2}StrictHostKeyChecking yes\n$/)
  t.match(sshConfig('/run/cpu-harness/v', [tcp]), /^Host v\n {2}HostName 127.0.0.1\n {2}Port 40000\n/)
  t.end()
})

t.test('ssh_config: where the programs of this machine do not run, others are the defaults', t => {
  const foreign = ARCHITECTURES.find(isForeign)
  const text = sshConfig('/run/cpu-harness/v', [tcp], foreign)
  t.match(text, / {2}SetEnv CPU_NAMESPACE=\/home SHELL=\/bin\/sh\n$/)
  t.notMatch(sshConfig('/run/cpu-harness/v', [tcp]), /SetEnv/)
  t.end()
})

t.test("what the client makes of a machine's files", async t => {
  privateRuntime(t)
  const directory = await createMachineDirectory('v')
  const keys = generateKeys('v')
  writeSshFiles(directory, keys, [vsock, tcp])
  const files = machineFiles(directory)
  for (const name of ['v', 'vsock/3']) {
    t.match(hostConfig({ alias: name, defaultPort: '17010' }), {
      hostName: 'vsock/3',
      port: '17010',
      user: 'root',
      identityFiles: [files.clientKey],
      identitiesOnly: true,
      knownHostsFiles: [files.knownHosts],
      strictHostKeyChecking: 'yes',
    })
  }
  t.equal(
    readFileSync(files.knownHosts, 'utf8'),
    `vsock/3 ${keys.hostPublicKey}\n[127.0.0.1]:40000 ${keys.hostPublicKey}\n`,
  )
  t.equal(statSync(files.clientKey).mode & 0o777, 0o600)
  const { stdout } = spawnSync('ssh-keygen', ['-y', '-f', files.clientKey], { encoding: 'utf8' })
  if (stdout) t.match(keys.clientPublicKey, stdout.split(' ')[1])
})

t.test('a name is taken while its machine starts or runs, and free when it is gone', async t => {
  privateRuntime(t)
  const directory = await createMachineDirectory('v')
  writeState(directory, initialState('v'))
  await t.rejects(createMachineDirectory('v'), { code: 'ERR_CPU_VM_NAME_TAKEN', remedy: /cpu-vm stop v/ })
  t.strictSame(
    listMachines().map(({ state }) => state.name),
    ['v'],
  )
  const gone = { pid: process.pid, startTime: '1' }
  writeState(directory, { ...initialState('v'), launcher: gone, qemu: gone, ready: true })
  t.strictSame(listMachines(), [])
  await cleanStaleMachines()
  t.notOk(existsSync(directory))
})

t.test('names that are none', async t => {
  const runtime = privateRuntime(t)
  for (const name of ['', '.', '..', 'a/b', '-x', 'a b', 'x'.repeat(64)]) {
    await t.rejects(createMachineDirectory(name), { code: 'ERR_CPU_USAGE' }, JSON.stringify(name))
  }
  t.notOk(existsSync(join(runtime, 'b')))
})
