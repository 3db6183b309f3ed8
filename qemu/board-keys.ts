// The keys in an image for a machine of one's own: who may log in there, and how it is known.

import { readFileSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import ssh2 from 'ssh2'
import { loadHostKey } from '../src/cpud/host-key.js'
import { CpuError, UsageError } from '../src/errors.js'
import { parseAuthorizedKeys } from '../src/ssh/authorized-keys.js'
import { DEFAULT_KEYS } from '../src/ssh/default-keys.js'
import { generateKey, type KeyPair } from '../src/ssh/generate-key.js'

/**
 * The text of `file`, or of the user's own public keys. Each line that is no key is a problem. Throws UsageError for a file
 * without keys, CpuError ERR_CPU_VM_KEYS for a user without them.
 */
export function authorizedKeys(file: string | undefined, onProblem: (line: string) => void): string {
  const files = file === undefined ? ownPublicKeys() : [file]
  const texts = files.map(path => readKeys(path))
  const parsed = texts.map((text, index) => parseAuthorizedKeys(text, files[index]!))
  for (const { problems } of parsed) for (const problem of problems) onProblem(problem)
  if (parsed.some(({ keys }) => keys.length > 0)) return texts.map(text => `${text.trimEnd()}\n`).join('')
  if (file !== undefined)
    throw new UsageError(
      `${file} holds no key that could log in (-keys)`,
      'name an authorized_keys or .pub file',
    )
  throw new CpuError('ERR_CPU_VM_KEYS', `no public key of yours is in ${join(homedir(), '.ssh')}`, {
    remedy: 'make one with ssh-keygen -t ed25519, or name a file with -keys',
  })
}

/** Those that are there of the ones that cpu logs in with. */
export function ownPublicKeys(): string[] {
  return DEFAULT_KEYS.map(name => join(homedir(), '.ssh', `${name}.pub`)).filter(
    path => statSync(path, { throwIfNoEntry: false })?.isFile() === true,
  )
}

function readKeys(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new UsageError(`cannot read the keys ${path}: ${(error as NodeJS.ErrnoException).code}`)
  }
}

/** The one in `file`, which is made if it is missing, or a new one. Throws CpuError ERR_CPU_HOST_KEY_FILE. */
export function hostKey(file: string | undefined, comment: string): KeyPair {
  if (file === undefined) return generateKey(comment)
  const text = loadHostKey(file)
  const key = ssh2.utils.parseKey(text)
  if (key instanceof Error) throw key
  return { private: text, public: `${key.type} ${key.getPublicSSH().toString('base64')}` }
}
