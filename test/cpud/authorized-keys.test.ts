// What a line of authorized_keys allows, as its owner meets it.
import { execFile } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { generateKey } from '../../src/ssh/generate-key.js'
import { cpu } from '../fixtures/cpu-command.js'
import { type LocalCpud, startCpud } from '../fixtures/local-cpud.js'

const withFiles = { flags: ['-files', 'fuse'] }
const ssh = promisify(execFile)

/** Leaves one key in the file, with these options. */
function authorize(target: LocalCpud, options: string): void {
  const key = fs.readFileSync(path.join(target.directory, 'key.pub'), 'utf8')
  fs.writeFileSync(path.join(target.directory, 'keys'), `${options} ${key}`)
}

t.test('on a unix socket', async t => {
  const target = await startCpud(t, 'unix', { authorize: key => `# mine\n${key}` })
  const keysFile = path.join(target.directory, 'keys')

  await t.test('a forced command runs alone, and is told what was wanted', async t => {
    authorize(target, 'command="echo \\"$SSH_ORIGINAL_COMMAND\\"; echo $SECRET-$LANG; pwd; exit 3"')
    const env = { SECRET: 'x', LANG: 'C', BASH_ENV: '/nope', CPU_FSTAB: 'tmpfs /usr tmpfs' }
    const { stdout, stderr, code } = await cpu(target, ['touch', 'a b'], { env })
    t.same([stdout.toString(), stderr, code], ["'touch' 'a b'\n-C\n/root\n", '', 3])
    const refused = await cpu(target, ['date'], withFiles)
    t.equal(refused.code, 255)
    t.match(
      refused.stderr,
      /^cpud: authorized_keys lets this key bring no files \(command\) \(leave them out/,
    )
  })

  await t.test('environment=, before what the client says', async t => {
    authorize(target, 'environment="WHO=key",environment="NEW=n"')
    const { stdout } = await cpu(target, ['sh', '-c', 'echo $WHO $NEW'], { env: { WHO: 'client' } })
    t.equal(stdout.toString(), 'key n\n')
  })

  await t.test('no-port-forwarding: no way back to the files', async t => {
    authorize(target, 'no-port-forwarding')
    const { stderr, code } = await cpu(target, ['true'], withFiles)
    t.equal(code, 255)
    t.match(
      stderr,
      'authorized_keys lets this key bring no files (no-port-forwarding) (leave them out with -9p=false)',
    )
    t.equal((await cpu(target, ['true'])).code, 0)
  })

  await t.test('no-pty and restrict: no terminal', async t => {
    for (const options of ['no-pty', 'restrict']) {
      authorize(target, options)
      const { stderr, code } = await cpu(target, ['tty'], { flags: ['-tty', 'force'] })
      t.equal(code, 255)
      t.match(stderr, /pseudo-terminal/)
    }
    authorize(target, 'restrict,pty')
    const { stdout } = await cpu(target, ['tty'], { flags: ['-tty', 'force'] })
    t.match(stdout.toString(), /^\/dev\/pts\//)
  })

  await t.test('a key that has expired, or comes from elsewhere, does not log in', async t => {
    for (const [options, reason] of [
      ['expiry-time="20200101"', 'the key has expired'],
      ['from="vsock/2"', 'the key is not taken from unix'],
    ] as const) {
      authorize(target, options)
      t.equal((await cpu(target, ['true'])).code, 255)
      t.match(target.log(), `unix: closed without login: ${keysFile}:1: ${reason}\n`)
    }
  })

  await t.test(
    'what is taken out of the file, or made unusable, works no more; its fault is said once',
    async t => {
      authorize(target, 'unix-forwarding')
      t.equal((await cpu(target, ['true'])).code, 255)
      t.equal((await cpu(target, ['true'])).code, 255)
      t.equal(target.log().split(`${keysFile}:1: key not taken: unknown option "unix-forwarding"`).length, 2)
      fs.writeFileSync(keysFile, generateKey('other').public)
      t.equal((await cpu(target, ['true'])).code, 255)
      t.match(target.log(), 'closed without login: there is no line for the key SHA256:')
      fs.rmSync(keysFile)
      t.equal((await cpu(target, ['true'])).code, 255)
      t.match(target.log(), `cannot read the authorized keys: ENOENT`)
      authorize(target, 'pty')
      t.equal((await cpu(target, ['true'])).code, 0)
    },
  )
})

t.test('over TCP', async t => {
  const target = await startCpud(t, 'tcp')
  t.test('from= with addresses', async t => {
    authorize(target, 'from="127.0.0.0/8,!127.0.0.2"')
    t.equal((await cpu(target, ['true'])).code, 0)
    t.match(target.log(), /127\.0\.0\.1:\d+: connected: key SHA256:\S+ \(\S+keys:1\)\n/)
    authorize(target, 'from="127.0.0.0/8,!127.0.0.1"')
    t.equal((await cpu(target, ['true'])).code, 255)
    t.match(
      target.log(),
      /127\.0\.0\.1:\d+: closed without login: \S+: the key is not taken from 127\.0\.0\.1\n/,
    )
  })

  t.test("OpenSSH's client and a forced command", async t => {
    authorize(target, 'command="printf %s \\"$SSH_ORIGINAL_COMMAND\\"",restrict')
    const options = ['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-F', 'none']
    const where = ['-i', path.join(target.directory, 'key'), '-p', String(target.port), '127.0.0.1']
    const { stdout } = await ssh('ssh', [...options, ...where, "git-upload-pack '/x y'"])
    t.equal(stdout, "git-upload-pack '/x y'")
  })
})
