// authorized_keys files: sshd(8), "AUTHORIZED_KEYS FILE FORMAT".
import ssh2 from 'ssh2'
import { type KeyOptions, parseKeyOptions, UNRESTRICTED } from './key-options.js'

/** One key that may log in. */
export interface AuthorizedKey {
  /** Where it stands, `FILE:LINE`. */
  readonly place: string
  readonly comment: string
  readonly options: KeyOptions
  readonly key: ssh2.ParsedKey
  /** SSH wire form. */
  readonly blob: Buffer
}

export interface AuthorizedKeys {
  readonly keys: readonly AuthorizedKey[]
  /** One line for each line that was not taken, with its place and the reason. */
  readonly problems: readonly string[]
}

const KEY_TYPE = /^(ssh-|ecdsa-|sk-)/

/**
 * Parses a whole file; `file` is its name in messages. A line is taken whole or not at all: a restriction that is not
 * enforced would be worse than a key that does not work.
 */
export function parseAuthorizedKeys(text: string, file: string): AuthorizedKeys {
  const keys: AuthorizedKey[] = []
  const problems: string[] = []
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    const place = `${file}:${index + 1}`
    try {
      keys.push({ place, ...parseLine(line) })
    } catch (error) {
      problems.push(`${place}: key not taken: ${(error as Error).message}`)
    }
  }
  return { keys, problems }
}

function parseLine(line: string): Omit<AuthorizedKey, 'place'> {
  const { options, rest } = KEY_TYPE.test(line)
    ? { options: UNRESTRICTED, rest: line }
    : parseKeyOptions(line)
  if (/^\S+-cert-v\d\d@/.test(rest)) throw new Error('it is a certificate, which cpud does not verify')
  const parsed = ssh2.utils.parseKey(rest)
  const key = Array.isArray(parsed) ? parsed[0] : parsed
  if (key === undefined || key instanceof Error) throw new Error(key?.message ?? 'there is no key')
  return { options, comment: key.comment, key, blob: key.getPublicSSH() }
}

/** Whether the key may log in from `address` now, or why not; undefined for a key that stands nowhere. */
export type Verdict = { readonly key: AuthorizedKey } | { readonly refusal: string } | undefined

/** Of several lines with the same key, the first counts that allows it. */
export function judgeKey(
  keys: readonly AuthorizedKey[],
  blob: Buffer,
  address: string,
  nowMs = Date.now(),
): Verdict {
  let verdict: Verdict
  for (const key of keys) {
    if (!key.blob.equals(blob)) continue
    const { from, expiresMs } = key.options
    if (expiresMs !== undefined && nowMs >= expiresMs)
      verdict = { refusal: `${key.place}: the key has expired` }
    else if (from !== undefined && !from(address))
      verdict = { refusal: `${key.place}: the key is not taken from ${address}` }
    else return { key }
  }
  return verdict
}
