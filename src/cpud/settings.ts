// Flags of cpud to what it serves by; and for PID 1, what takes their place or stands beside them: the launcher's file,
// else the kernel's command line and files of the machine.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { CPUD_FLAGS } from '../cli/cpud-flags.js'
import { type FlagValues, parseFlags } from '../cli/flags.js'
import { UsageError } from '../errors.js'
import { VMADDR_CID_ANY } from '../linux/vsock.js'
import { localUser } from '../local-user.js'
import { readText } from '../native/read-text.js'
import { findUser, type User } from '../native/users.js'
import { type Address, type Network, toAddress } from '../transport/address.js'
import { keysIn } from './authorized-keys-file.js'
import { loadHostKey } from './host-key.js'
import type { KeySource } from './login.js'
import { parseRegistration } from './register.js'
import type { ServeOptions } from './serve.js'

export type CpudFlags = FlagValues<typeof CPUD_FLAGS>

/** Where files are that no flag names. */
export interface Places {
  /** Undefined where they have to be named. */
  readonly keys: string | undefined
  readonly hostKey: string
}

export function userPlaces(): Places {
  return { keys: undefined, hostKey: path.join(os.homedir(), '.ssh/cpud_host_ed25519') }
}

export const INIT_PLACES = {
  keys: '/etc/cpu/authorized_keys',
  hostKey: '/etc/cpu/host_ed25519_key',
} as const satisfies Places

/** Throws UsageError, and CpuError ERR_CPU_HOST_KEY_FILE. */
export function serveSettings(
  values: CpudFlags,
  places: Places,
  log: (line: string) => void,
): Omit<ServeOptions, 'debug'> {
  return {
    addresses: addresses(values),
    keys: authorizedKeys(values, places, log),
    hostKey: loadHostKey(values.hk ?? places.hostKey),
    user: sessionUser(values.user),
    limits: { maxStartups: values['max-startups'], loginGraceMs: values['login-grace'] },
    registration:
      values.register === undefined ? undefined : parseRegistration(values.register, values.registerTO),
    log,
  }
}

function addresses({ net, addr, sp }: CpudFlags): Address[] {
  const networks: readonly Network[] = net.length === 0 ? ['tcp'] : net
  return networks.map(network => {
    if (network.startsWith('unix') && addr === undefined)
      throw new UsageError(`-net ${network} needs -addr PATH`)
    const any = network === 'vsock' ? String(VMADDR_CID_ANY) : network === 'tcp4' ? '0.0.0.0' : '::'
    return toAddress({ net: network, host: addr ?? any, port: sp })
  })
}

function authorizedKeys(
  { pk, 'insecure-no-auth': anybody }: CpudFlags,
  places: Places,
  log: (line: string) => void,
): KeySource | undefined {
  if (anybody) {
    if (pk === undefined) return undefined
    throw new UsageError('-pk and -insecure-no-auth contradict each other', 'leave one of them out')
  }
  const file = pk ?? places.keys
  if (file === undefined)
    throw new UsageError(
      'who may log in is not said',
      'give -pk FILE (authorized_keys), or -insecure-no-auth for everybody',
    )
  if (pk === undefined && !fs.existsSync(file))
    throw new UsageError(
      `who may log in is not said: there is no ${file}`,
      'put one into the image, or name another with -pk FILE behind -- on the kernel command line',
    )
  const keys = keysIn(file, log)
  if (keys().length === 0)
    throw new UsageError(`${file}${pk === undefined ? '' : ' (-pk)'} holds no key that could log in`)
  return keys
}

/** Undefined for cpud's own user, who cannot become another unless he is root. */
function sessionUser(name: string | undefined): User | undefined {
  if (name === undefined) return undefined
  const user = findUser(name)
  if (user === undefined) throw new UsageError(`this machine has no user ${JSON.stringify(name)} (-user)`)
  const { uid } = localUser()
  if (user.uid === uid) return undefined
  if (uid !== 0)
    throw new UsageError(
      `running programs as ${name} (-user) takes root`,
      'leave it out to run them as yourself',
    )
  return user
}

/**
 * The flags of process 1. The kernel hands it also the words of its command line that nobody knows, such as `splash`:
 * they are named in the log, and passed over. Throws UsageError.
 */
export function parseInitFlags(argv: readonly string[], log: (line: string) => void): CpudFlags {
  let rest = argv
  for (;;) {
    const { values, operands, operandIndex } = parseFlags(CPUD_FLAGS, rest)
    if (operands[0] === undefined) return values
    log(`${operands[0]}, from the kernel's command line, is no flag of cpud's: passed over`)
    rest = rest.filter((_, index) => index !== operandIndex)
  }
}

/** hostname(5): the first line that is no comment. */
export function hostnameFile(file = '/etc/hostname'): string | undefined {
  return readText(file)
    .split('\n')
    .map(line => line.trim())
    .find(line => line !== '' && !line.startsWith('#'))
}
