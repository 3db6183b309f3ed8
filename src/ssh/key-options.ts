// The options before a key in authorized_keys: sshd(8), "AUTHORIZED_KEYS FILE FORMAT".
import { nearestName } from '../nearest-name.js'
import { type AddressPatterns, parseAddressPatterns } from './address-patterns.js'

/** What the owner of a key may do. */
export interface KeyOptions {
  /** From where; undefined for everywhere. */
  readonly from?: AddressPatterns
  /** From then on, in milliseconds since 1970, the key is not taken. */
  readonly expiresMs?: number
  /** What runs instead of whatever is asked for. */
  readonly command?: string
  readonly environment: ReadonlyMap<string, string>
  readonly pty: boolean
  /** Whether there is a way back to the client's files. */
  readonly forwarding: boolean
}

/** Of a key without options, and of whoever needs none. */
export const UNRESTRICTED: KeyOptions = { environment: new Map(), pty: true, forwarding: true }

interface Option {
  readonly name: string
  /** Without its quotes. */
  readonly value: string | undefined
}

type Draft = { -readonly [Key in keyof KeyOptions]: KeyOptions[Key] } & { environment: Map<string, string> }

const FLAGS: Readonly<Record<string, (draft: Draft) => void>> = {
  pty: draft => {
    draft.pty = true
  },
  'no-pty': draft => {
    draft.pty = false
  },
  'port-forwarding': draft => {
    draft.forwarding = true
  },
  'no-port-forwarding': draft => {
    draft.forwarding = false
  },
  restrict: draft => {
    draft.pty = false
    draft.forwarding = false
  },
}

const VALUES: Readonly<Record<string, (draft: Draft, value: string) => void>> = {
  from: (draft, value) => {
    draft.from = parseAddressPatterns(value)
  },
  command: (draft, value) => {
    draft.command = value
  },
  environment: (draft, value) => {
    const [, name, text] = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s.exec(value) ?? []
    if (name === undefined || text === undefined) throw new Error('environment is not NAME=value')
    // As in sshd, the first of a name counts.
    if (!draft.environment.has(name)) draft.environment.set(name, text)
  },
  'expiry-time': (draft, value) => {
    const expiresMs = parseTime(value)
    draft.expiresMs = Math.min(expiresMs, draft.expiresMs ?? expiresMs)
  },
}

/** What they allow or forbid does not exist here: there is nothing to do. */
const WITHOUT_EFFECT = [
  'agent-forwarding',
  'no-agent-forwarding',
  'x11-forwarding',
  'no-x11-forwarding',
  'user-rc',
  'no-user-rc',
  'permitopen',
  'tunnel',
]

/** Known to sshd, and more than this project can do. */
const NOT_ENFORCED: Readonly<Record<string, string>> = {
  'cert-authority': 'cpud verifies no certificates (cert-authority)',
  principals: 'cpud verifies no certificates (principals)',
  'verify-required': 'cpud knows no security keys (verify-required)',
  'no-touch-required': 'cpud knows no security keys (no-touch-required)',
  permitlisten: 'cpud tells no listening ports apart (permitlisten): no-port-forwarding closes all',
}

/** Splits the options off a line that starts with them; `rest` is the key. Throws an Error that says what is wrong. */
export function parseKeyOptions(line: string): { options: KeyOptions; rest: string } {
  const { words, rest } = splitOptions(line)
  const draft: Draft = { ...UNRESTRICTED, environment: new Map() }
  for (const word of words) apply(draft, word)
  return { options: draft, rest }
}

function apply(draft: Draft, { name, value }: Option): void {
  const flag = FLAGS[name]
  const set = VALUES[name]
  if (NOT_ENFORCED[name] !== undefined) throw new Error(NOT_ENFORCED[name])
  if (flag !== undefined && value === undefined) return flag(draft)
  if (set !== undefined && value !== undefined) return set(draft, value)
  if (flag !== undefined) throw new Error(`the option ${name} takes no value`)
  if (set !== undefined) throw new Error(`the option ${name} needs a value: ${name}="..."`)
  if (!WITHOUT_EFFECT.includes(name)) throw unknownOption(name)
}

function unknownOption(name: string): Error {
  const nearest = nearestName(name, [...Object.keys(FLAGS), ...Object.keys(VALUES), ...WITHOUT_EFFECT])
  const hint = nearest === undefined ? '' : ` (did you mean ${nearest}?)`
  return new Error(`unknown option ${JSON.stringify(name)}${hint}`)
}

/** `name`, or `name="value"` with `\"` for a quote; separated by commas, ended by the first space. */
const OPTION = /([A-Za-z0-9-]+)(?:="((?:[^"\\]|\\.)*)")?([, \t])/y

function splitOptions(line: string): { words: Option[]; rest: string } {
  const words: Option[] = []
  OPTION.lastIndex = 0
  for (let end = 0; ; end = OPTION.lastIndex) {
    const match = OPTION.exec(line)
    if (match === null) throw new Error(describeBreak(line.slice(end)))
    const [, name = '', value, separator] = match
    words.push({ name: name.toLowerCase(), value: value?.replaceAll('\\"', '"') })
    if (separator !== ',') return { words, rest: line.slice(OPTION.lastIndex).trim() }
  }
}

function describeBreak(text: string): string {
  if (/^[A-Za-z0-9-]+="/.test(text)) return 'a quote has no end, or something stands behind it'
  if (/^[A-Za-z0-9-]+=/.test(text)) return 'a value has no quotes around it'
  return 'there is neither a key type nor an option'
}

/** YYYYMMDD[HHMM[SS]], local time, or UTC with a Z. */
function parseTime(text: string): number {
  const match = /^(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?(Z?)$/i.exec(text)
  const [year, month, day, hour, minute, second] = (match ?? []).slice(1, 7).map(part => Number(part ?? 0))
  const fields = [year!, month! - 1, day!, hour!, minute!, second!] as const
  const time = match?.[7] === '' ? new Date(...fields).getTime() : Date.UTC(...fields)
  // A 31st of June would be the 1st of July.
  const isDate = new Date(Date.UTC(...fields)).getUTCDate() === day && (hour ?? 0) < 24 && (minute ?? 0) < 60
  if (match === null || !isDate || Number.isNaN(time))
    throw new Error('expiry-time is not YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, with a Z for UTC')
  return time
}
