// known_hosts files: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT". Plain, hashed and wildcard names, `@revoked`;
// `@cert-authority` lines are skipped, since ssh2 has no certificates.
import { createHmac, timingSafeEqual } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import ssh2 from 'ssh2'
import { CpuError } from '../errors.js'
import { fingerprint, keyType } from './fingerprint.js'

interface KnownHost {
  readonly file: string
  readonly line: number
  readonly revoked: boolean
  readonly names: readonly string[]
  readonly key: Buffer
}

/** What the files say of a key: `changed` when they hold only others for this name. */
export type Verdict =
  | { kind: 'known' }
  | { kind: 'unknown' }
  | { kind: 'changed' | 'revoked'; file: string; line: number }

export interface HostKeyPolicy {
  /** As knownHostsName() gives it. */
  readonly name: string
  /** Read in order; a missing one is empty. New keys are appended to the first. */
  readonly files: readonly string[]
  /** `yes` refuses unknown keys, `accept-new` takes them, `ask` asks through `confirm`. */
  readonly strict: 'yes' | 'ask' | 'accept-new' | 'no'
  /** Asks the user; absent where there is no terminal. */
  readonly confirm?: ((question: string) => Promise<boolean>) | undefined
  readonly warn: (line: string) => void
  /** The one key that is right, in SSH wire form; the files are not read then. */
  readonly expected?: Buffer | undefined
}

/** The key in the text of a .pub file, in SSH wire form. Throws CpuError ERR_CPU_HOST_KEY; `name` is for its message. */
export function parsePublicKey(text: string, name: string): Buffer {
  const parsed = ssh2.utils.parseKey(text)
  const key = Array.isArray(parsed) ? parsed[0] : parsed
  if (key === undefined || key instanceof Error) {
    throw new CpuError('ERR_CPU_HOST_KEY', `${name} holds no public key`, {
      remedy: 'give the .pub file of the host key',
    })
  }
  return key.getPublicSSH()
}

/** Resolves when `key` is right for the host. Throws CpuError ERR_CPU_HOST_KEY otherwise. */
export async function verifyKnownHost(key: Buffer, policy: HostKeyPolicy): Promise<void> {
  const { name } = policy
  const shown = `${keyType(key)} ${fingerprint(key)}`
  if (policy.expected !== undefined) {
    if (policy.expected.equals(key)) return
    throw refusal(
      `the host key of ${name} is not the one that -hk names: it is ${shown}`,
      "give the .pub file of that machine's host key with -hk FILE",
    )
  }
  const verdict = judge(name, key, policy.files.flatMap(readKnownHosts))
  switch (verdict.kind) {
    case 'known':
      return
    case 'revoked':
      throw refusal(
        `the host key of ${name} is revoked (${verdict.file}:${verdict.line})`,
        `${shown} must not be trusted`,
      )
    case 'changed':
      throw refusal(
        `THE HOST KEY OF ${name} HAS CHANGED: it is ${shown}, and ${verdict.file}:${verdict.line} has another`,
        `someone may be in between; if the machine is new, take that line out: ssh-keygen -R '${name}' -f ${verdict.file}`,
      )
    case 'unknown':
      return acceptUnknown(key, shown, policy)
  }
}

async function acceptUnknown(key: Buffer, shown: string, policy: HostKeyPolicy): Promise<void> {
  const { name, strict, confirm } = policy
  const accepted =
    strict === 'no' ||
    strict === 'accept-new' ||
    (strict === 'ask' &&
      confirm !== undefined &&
      (await confirm(`${name} is not known yet. Its key is ${shown}. Connect, and remember it?`)))
  if (!accepted) throw refusal(`the host key of ${name} is not known: ${shown}`, remedyForUnknown(policy))
  const file = policy.files[0]
  if (file === undefined) return
  try {
    fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
    fs.appendFileSync(file, `${name} ${keyType(key)} ${key.toString('base64')}\n`, { mode: 0o600 })
  } catch (error) {
    policy.warn(`cannot remember the host key of ${name}: ${(error as Error).message}`)
  }
}

function remedyForUnknown({ strict, confirm, files }: HostKeyPolicy): string | undefined {
  if (strict === 'ask' && confirm === undefined) {
    return `add it to ${files[0] ?? 'known_hosts'}, or give it with -hk FILE, or connect once from a terminal`
  }
  return strict === 'yes' ? `add it to ${files[0] ?? 'known_hosts'}, or give it with -hk FILE` : undefined
}

function refusal(message: string, remedy: string | undefined): CpuError {
  return new CpuError('ERR_CPU_HOST_KEY', message, { remedy })
}

/** Judges a key by entries in order of their files. A revocation wins over everything. */
function judge(name: string, key: Buffer, entries: readonly KnownHost[]): Verdict {
  const matching = entries.filter(entry => entry.names.length > 0 && matchesHost(name, entry.names))
  const same = matching.filter(entry => entry.key.equals(key))
  const revoked = same.find(entry => entry.revoked)
  if (revoked !== undefined) return { kind: 'revoked', file: revoked.file, line: revoked.line }
  if (same.length > 0) return { kind: 'known' }
  const other = matching.find(entry => !entry.revoked)
  return other === undefined ? { kind: 'unknown' } : { kind: 'changed', file: other.file, line: other.line }
}

function readKnownHosts(file: string): KnownHost[] {
  let text: string
  try {
    text = fs.readFileSync(file, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new CpuError('ERR_CPU_HOST_KEY', `cannot read ${file}: ${(cause as Error).message}`, { cause })
  }
  return parseKnownHosts(text, file)
}

/** Lines that cannot be understood are skipped, as OpenSSH does: they never make a key trusted. */
export function parseKnownHosts(text: string, file: string): KnownHost[] {
  return text.split('\n').flatMap((line, index) => {
    const fields = line.trim().split(/[ \t]+/)
    if (fields[0] === '' || fields[0]?.startsWith('#')) return []
    const marker = fields[0]?.startsWith('@') ? fields.shift() : undefined
    if (marker !== undefined && marker !== '@revoked') return []
    const [names, , base64] = fields
    if (names === undefined || base64 === undefined) return []
    return [
      {
        file,
        line: index + 1,
        revoked: marker === '@revoked',
        names: names.split(','),
        key: Buffer.from(base64, 'base64'),
      },
    ]
  })
}

/** Whether a host's name matches a list of patterns, of which `!pattern` excludes. */
function matchesHost(name: string, patterns: readonly string[]): boolean {
  let matched = false
  for (const pattern of patterns) {
    if (pattern.startsWith('!')) {
      if (matchesPattern(name, pattern.slice(1))) return false
    } else if (matchesPattern(name, pattern)) matched = true
  }
  return matched
}

function matchesPattern(name: string, pattern: string): boolean {
  const hashed = /^\|1\|([^|]+)\|(.+)$/.exec(pattern)
  if (hashed !== null) {
    const [, salt = '', expected = ''] = hashed
    const actual = createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest()
    const wanted = Buffer.from(expected, 'base64')
    return wanted.length === actual.length && timingSafeEqual(wanted, actual)
  }
  const escaped = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*/g, '.*')
    .replace(/\?/g, '.')
  return new RegExp(`^${escaped}$`, 'i').test(name)
}
