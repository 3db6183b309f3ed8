// authorized_keys files: sshd(8), "AUTHORIZED_KEYS FILE FORMAT".
import ssh2 from 'ssh2'

/** One key that may log in. */
export interface AuthorizedKey {
  readonly line: number
  readonly comment: string
  readonly key: ssh2.ParsedKey
  /** SSH wire form. */
  readonly blob: Buffer
}

export interface AuthorizedKeys {
  readonly keys: readonly AuthorizedKey[]
  /** One line for each line that was not taken, with its number and the reason. */
  readonly problems: readonly string[]
}

const KEY_TYPE = /^(ssh-|ecdsa-|sk-)/

/**
 * Parses a whole file. A line with options is not taken: a restriction that is not enforced would be worse
 * than a key that does not work.
 */
export function parseAuthorizedKeys(text: string): AuthorizedKeys {
  const keys: AuthorizedKey[] = []
  const problems: string[] = []
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    const number = index + 1
    if (!KEY_TYPE.test(line)) {
      problems.push(`authorized_keys:${number}: not taken: it does not start with a key type`)
      continue
    }
    const parsed = ssh2.utils.parseKey(line)
    const key = Array.isArray(parsed) ? parsed[0] : parsed
    if (key === undefined || key instanceof Error) {
      problems.push(`authorized_keys:${number}: not taken: ${key?.message ?? 'no key'}`)
      continue
    }
    keys.push({ line: number, comment: key.comment, key, blob: key.getPublicSSH() })
  }
  return { keys, problems }
}
