// Private keys: reading them, and saying what is wrong with one that cannot be used.
import fs from 'node:fs'
import ssh2 from 'ssh2'
import { CpuError } from '../errors.js'

/** A private key ready for use. */
export interface Identity {
  /** For messages: the file's path. */
  readonly name: string
  readonly key: ssh2.ParsedKey
}

/** Reads a private key file. Throws CpuError ERR_CPU_KEY when it is missing, unreadable, encrypted or no private key. */
export function readIdentity(path: string, passphrase?: string): Identity {
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
  return parseIdentity(path, text, passphrase)
}

export function parseIdentity(name: string, text: Buffer | string, passphrase?: string): Identity {
  const parsed = ssh2.utils.parseKey(text, passphrase)
  if (parsed instanceof Error) {
    const encrypted = /encrypted/i.test(parsed.message) && passphrase === undefined
    throw new CpuError(
      'ERR_CPU_KEY',
      `cannot use ${name} as a private key: ${encrypted ? 'it is encrypted' : parsed.message}`,
      {
        cause: parsed,
        remedy: encrypted ? 'load it into ssh-agent with ssh-add' : undefined,
      },
    )
  }
  const key = Array.isArray(parsed) ? parsed[0] : parsed
  if (key === undefined || !key.isPrivateKey()) {
    throw new CpuError('ERR_CPU_KEY', `${name} holds no private key`, {
      remedy: 'give the file without .pub',
    })
  }
  return { name, key }
}
