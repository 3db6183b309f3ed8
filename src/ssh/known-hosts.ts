// known_hosts files: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT". Plain, hashed and wildcard names, `@revoked`. Lines of
// `@cert-authority` vouch for certificates, which ssh2 does not know: they are only told of.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import ssh2 from 'ssh2'
import { CpuError } from '../errors.js'
import { fingerprint, keyType } from './fingerprint.js'
import { matchesPatterns } from './patterns.js'

interface KnownHost {
  readonly file: string
  readonly line: number
  readonly marker: '@revoked' | '@cert-authority' | undefined
  readonly names: readonly string[]
  readonly key: Buffer
}

/** What the files say of a key: `changed` when they hold another of its type, and not this one, for the name. */
type Verdict =
  | { kind: 'known' }
  | { kind: 'unknown'; others: readonly KnownHost[]; authority: KnownHost | undefined }
  | { kind: 'changed' | 'revoked'; entry: KnownHost }

export interface HostKeyPolicy {
  /** As knownHostsName() gives it. */
  readonly name: string
  /** The name without its port: a key that is known for it will do. */
  readonly plainName?: string | undefined
  /** Read in order; a missing one is empty. */
  readonly files: readonly string[]
  /** Where new keys are remembered, if anywhere. */
  readonly newKeysFile: string | undefined
  /** Whether they are remembered under a hashed name. */
  readonly hashNames?: boolean
  /** `yes` refuses unknown keys, `accept-new` and `no` take them, `ask` asks through `confirm`. */
  readonly strict: 'yes' | 'ask' | 'accept-new' | 'no'
  /** Asks the user; absent where nobody can be asked. */
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

/** The types of the keys that the host is known by, for which it should be asked first. */
export function knownKeyTypes(policy: HostKeyPolicy): string[] {
  if (policy.expected !== undefined) return [keyType(policy.expected)]
  const entries = policy.files.flatMap(readKnownHosts)
  const types = [policy.name, policy.plainName].flatMap(name =>
    matching(name, entries)
      .filter(({ marker }) => marker === undefined)
      .map(({ key }) => keyType(key)),
  )
  return [...new Set(types)]
}

/** Resolves when `key` is right for the host. Throws CpuError ERR_CPU_HOST_KEY otherwise. */
export async function verifyKnownHost(key: Buffer, policy: HostKeyPolicy): Promise<void> {
  const { name, plainName } = policy
  const shown = `${keyType(key)} ${fingerprint(key)}`
  if (policy.expected !== undefined) {
    if (policy.expected.equals(key)) return
    throw refusal(
      `the host key of ${name} is not the one that -hk names: it is ${shown}`,
      "give the .pub file of that machine's host key with -hk FILE",
    )
  }
  const entries = policy.files.flatMap(readKnownHosts)
  const verdict = judge(key, matching(name, entries))
  switch (verdict.kind) {
    case 'known':
      return
    case 'revoked':
      throw refusal(
        `the host key of ${name} is revoked (${place(verdict.entry)})`,
        `${shown} must not be trusted`,
      )
    case 'changed':
      throw refusal(
        `THE HOST KEY OF ${name} HAS CHANGED: it is ${shown}, and ${place(verdict.entry)} has another`,
        `someone may be in between; if the machine is new, take that line out: ssh-keygen -R '${name}' -f ${verdict.entry.file}`,
      )
    case 'unknown':
      if (judge(key, matching(plainName, entries)).kind === 'known') return
      return acceptUnknown(key, `${shown}${explain(verdict)}`, policy)
  }
}

/** What the files have instead of the key, as the second half of a sentence. */
function explain({ others, authority }: Verdict & { kind: 'unknown' }): string {
  if (authority !== undefined)
    return `, and its certificates, for which ${place(authority)} vouches, are nothing that cpu can check`
  const known = others.map(entry => `${keyType(entry.key)} (${place(entry)})`)
  return known.length === 0 ? '' : `, though by another type it is known: ${known.join(', ')}`
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
  remember(key, policy)
}

function remember(key: Buffer, { name, newKeysFile, hashNames, warn }: HostKeyPolicy): void {
  if (newKeysFile === undefined) return
  const salt = randomBytes(20)
  const written = hashNames
    ? `|1|${salt.toString('base64')}|${hashName(name, salt).toString('base64')}`
    : name.toLowerCase()
  try {
    fs.mkdirSync(path.dirname(newKeysFile), { recursive: true, mode: 0o700 })
    const line = `${written} ${keyType(key)} ${key.toString('base64')}\n`
    fs.appendFileSync(newKeysFile, `${lacksLineEnd(newKeysFile) ? '\n' : ''}${line}`, { mode: 0o600 })
  } catch (error) {
    warn(`cannot remember the host key of ${name}: ${(error as Error).message}`)
  }
}

/** Whether the last line of a file is not ended. */
function lacksLineEnd(file: string): boolean {
  return fs.existsSync(file) && /[^\n]$/.test(fs.readFileSync(file, 'latin1'))
}

function remedyForUnknown({ strict, confirm, newKeysFile }: HostKeyPolicy): string | undefined {
  const add = `add it to ${newKeysFile ?? 'known_hosts'}, or give it with -hk FILE`
  if (strict === 'ask' && confirm === undefined) return `${add}, or connect once from a terminal`
  return strict === 'yes' ? add : undefined
}

function refusal(message: string, remedy: string | undefined): CpuError {
  return new CpuError('ERR_CPU_HOST_KEY', message, { remedy })
}

function place({ file, line }: KnownHost): string {
  return `${file}:${line}`
}

/** Judges a key by the entries of its host, in order of their files. A revocation wins over everything. */
function judge(key: Buffer, entries: readonly KnownHost[]): Verdict {
  const same = entries.filter(entry => entry.key.equals(key))
  const revoked = same.find(({ marker }) => marker === '@revoked')
  if (revoked !== undefined) return { kind: 'revoked', entry: revoked }
  const plain = entries.filter(({ marker }) => marker === undefined)
  if (plain.some(entry => entry.key.equals(key))) return { kind: 'known' }
  const changed = plain.find(entry => keyType(entry.key) === keyType(key))
  if (changed !== undefined) return { kind: 'changed', entry: changed }
  return {
    kind: 'unknown',
    others: plain,
    authority: entries.find(({ marker }) => marker === '@cert-authority'),
  }
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
    if (marker !== undefined && marker !== '@revoked' && marker !== '@cert-authority') return []
    const [names, , base64] = fields
    if (names === undefined || base64 === undefined) return []
    return [{ file, line: index + 1, marker, names: names.split(','), key: Buffer.from(base64, 'base64') }]
  })
}

function matching(name: string | undefined, entries: readonly KnownHost[]): KnownHost[] {
  return name === undefined ? [] : entries.filter(({ names }) => matchesHost(name, names))
}

/** Hashed names are compared whole, others as patterns, of which `!pattern` excludes. */
function matchesHost(name: string, names: readonly string[]): boolean {
  return names[0]?.startsWith('|')
    ? names.some(hashed => matchesHash(name, hashed))
    : matchesPatterns(name, names, { ignoreCase: true })
}

function matchesHash(name: string, hashed: string): boolean {
  const [, salt = '', expected = ''] = /^\|1\|([^|]+)\|(.+)$/.exec(hashed) ?? []
  const actual = hashName(name, Buffer.from(salt, 'base64'))
  const wanted = Buffer.from(expected, 'base64')
  return wanted.length === actual.length && timingSafeEqual(wanted, actual)
}

function hashName(name: string, salt: Buffer): Buffer {
  return createHmac('sha1', salt).update(name.toLowerCase()).digest()
}
