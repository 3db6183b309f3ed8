import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { generateKey } from '../../src/ssh/generate-key.js'
import { type HostKeyPolicy, parsePublicKey, verifyKnownHost } from '../../src/ssh/known-hosts.js'

function key(): { line: string; blob: Buffer } {
  const line = generateKey('test').public
  return { line, blob: parsePublicKey(line, 'test') }
}

const right = key()
const wrong = key()

function policy(files: string[], more: Partial<HostKeyPolicy> = {}): HostKeyPolicy {
  return { name: 'vsock/3', files, newKeysFile: files[0], strict: 'ask', warn: () => {}, ...more }
}

t.test('a key that a file holds for the name is right, any other is refused loudly', async t => {
  const file = path.join(t.testdir({}), 'known_hosts')
  fs.writeFileSync(file, `# comment\n\nother,vsock/3 ${right.line}\n`)
  await verifyKnownHost(right.blob, policy([file]))
  await t.rejects(verifyKnownHost(wrong.blob, policy([file])), {
    code: 'ERR_CPU_HOST_KEY',
    message: new RegExp(`HOST KEY OF vsock/3 HAS CHANGED.*${file}:3`),
    remedy: /ssh-keygen -R/,
  })
})

t.test('names that ssh-keygen hashed are found, and what it removes is gone', async t => {
  const file = path.join(t.testdir({}), 'known_hosts')
  fs.writeFileSync(file, `[board]:17010 ${right.line}\n`)
  execFileSync('ssh-keygen', ['-q', '-H', '-f', file], { stdio: 'ignore' })
  t.match(fs.readFileSync(file, 'utf8'), /^\|1\|/)
  await verifyKnownHost(right.blob, policy([file], { name: '[board]:17010' }))
  await t.rejects(verifyKnownHost(right.blob, policy([file], { name: '[board]:17011' })), {
    message: /is not known/,
  })
})

t.test('patterns, exclusions and revocations', async t => {
  const file = path.join(t.testdir({}), 'known_hosts')
  fs.writeFileSync(
    file,
    `vsock/*,!vsock/9 ${right.line}\n@revoked * ${wrong.line}\n@cert-authority * ${wrong.line}\n`,
  )
  await verifyKnownHost(right.blob, policy([file]))
  await t.rejects(verifyKnownHost(right.blob, policy([file], { name: 'vsock/9' })), {
    message: /is not known/,
  })
  await t.rejects(verifyKnownHost(wrong.blob, policy([file])), { message: /is revoked/ })
})

t.test(
  'an unknown key is asked for on a terminal, refused elsewhere, and remembered when accepted',
  async t => {
    const file = path.join(t.testdir({}), '.ssh/known_hosts')
    await t.rejects(verifyKnownHost(right.blob, policy([file])), {
      message: /is not known: ssh-ed25519 SHA256:/,
      remedy: /-hk FILE/,
    })
    const questions: string[] = []
    const ask = (answer: boolean) => async (question: string) => {
      questions.push(question)
      return answer
    }
    await t.rejects(verifyKnownHost(right.blob, policy([file], { confirm: ask(false) })), {
      code: 'ERR_CPU_HOST_KEY',
    })
    await verifyKnownHost(right.blob, policy([file], { confirm: ask(true) }))
    t.equal(questions.length, 2)
    t.equal(fs.statSync(file).mode & 0o777, 0o600)
    await verifyKnownHost(right.blob, policy([file], { strict: 'yes' }))
  },
)

t.test('a key given with -hk is the only right one', async t => {
  await verifyKnownHost(right.blob, policy([], { expected: right.blob }))
  await t.rejects(verifyKnownHost(wrong.blob, policy([], { expected: right.blob })), {
    message: /not the one that -hk names/,
  })
  t.throws(() => parsePublicKey('nonsense', 'k.pub'), { message: 'k.pub holds no public key' })
})
