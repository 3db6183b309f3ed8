// Private keys: reading them, asking for the passphrase of those that have one, and saying what is wrong with one that
// cannot be used.
import fs from 'node:fs'
import ssh2 from 'ssh2'
import { CpuError } from '../errors.js'

/** A key to log in with. */
export interface Identity {
  /** For messages: the file's path. */
  readonly name: string
  /** The public half, where it can be had without a passphrase. */
  readonly publicKey: ssh2.ParsedKey | undefined
  /** The key itself, where nobody must be asked for it. */
  readonly key: ssh2.ParsedKey | undefined
  /** Asks for the passphrase, where there is one; undefined when it is not given. */
  readonly unlock?: ((ask: AskPassphrase) => Promise<ssh2.ParsedKey | undefined>) | undefined
}

/** Undefined when nobody answers. */
export type AskPassphrase = (question: string) => Promise<string | undefined>

const PASSPHRASE_TRIES = 3

/**
 * Reads a private key file, or a .pub file whose private half an agent has. Throws CpuError ERR_CPU_KEY when it is
 * missing, unreadable or no key.
 */
export function readIdentity(path: string): Identity {
  let text: Buffer
  try {
    text = fs.readFileSync(path)
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    throw new CpuError(
      'ERR_CPU_KEY',
      `cannot read the private key ${path}: ${missing ? 'no such file' : (cause as Error).message}`,
      {
        cause,
        remedy: 'make one with ssh-keygen -t ed25519, or give another with -key FILE',
      },
    )
  }
  return parseIdentity(path, text)
}

export function parseIdentity(name: string, text: Buffer | string): Identity {
  const key = parseKey(text)
  if (!(key instanceof Error)) return { name, publicKey: key, key: key.isPrivateKey() ? key : undefined }
  if (!/encrypted/i.test(key.message)) {
    throw new CpuError('ERR_CPU_KEY', `cannot use ${name} as a private key: ${key.message}`, { cause: key })
  }
  return { name, publicKey: publicHalf(name), key: undefined, unlock: ask => unlock(name, text, ask) }
}

async function unlock(
  name: string,
  text: Buffer | string,
  ask: AskPassphrase,
): Promise<ssh2.ParsedKey | undefined> {
  for (let round = 0; round < PASSPHRASE_TRIES; round++) {
    const again = round === 0 ? '' : 'that is not it; '
    const passphrase = await ask(`${again}passphrase of ${name}: `)
    if (passphrase === undefined || passphrase === '') return undefined
    const key = parseKey(text, passphrase)
    if (!(key instanceof Error)) return key
  }
  return undefined
}

/** What ssh-keygen put beside an encrypted key, so that the passphrase is asked for only where the key is wanted. */
function publicHalf(name: string): ssh2.ParsedKey | undefined {
  try {
    const key = parseKey(fs.readFileSync(`${name}.pub`))
    return key instanceof Error ? undefined : key
  } catch {
    return undefined
  }
}

function parseKey(text: Buffer | string, passphrase?: string): ssh2.ParsedKey | Error {
  const parsed = ssh2.utils.parseKey(text, passphrase)
  const key = Array.isArray(parsed) ? parsed[0] : parsed
  return key ?? new Error('there is no key in it')
}
