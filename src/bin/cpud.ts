#!/usr/bin/env node
// cpud: argv -> options -> one call -> exit code.
import os from 'node:os'
import path from 'node:path'
import { CPUD_FLAGS, CPUD_HELP } from '../cli/cpud-flags.js'
import { type FlagValues, parseFlags } from '../cli/flags.js'
import { renderHelp } from '../cli/help.js'
import { runMain } from '../cli/main.js'
import { keysIn } from '../cpud/authorized-keys-file.js'
import { loadHostKey } from '../cpud/host-key.js'
import { openKernelLog } from '../cpud/init-log.js'
import type { KeySource } from '../cpud/login.js'
import { parseRegistration } from '../cpud/register.js'
import { serveAsInit, serveUntilSignal } from '../cpud/serve.js'
import { CpuError, UsageError } from '../errors.js'
import { VMADDR_CID_ANY } from '../linux/vsock.js'
import { localUser } from '../local-user.js'
import { mayMountHere } from '../native/user-namespace.js'
import { findUser, type User } from '../native/users.js'
import { type Address, type Network, toAddress } from '../transport/address.js'
import { version } from '../version.js'

type Values = FlagValues<typeof CPUD_FLAGS>

void runMain('cpud', async argv => {
  const { values, operands } = parseFlags(CPUD_FLAGS, argv)
  if (values.help || values.h) return print(renderHelp(CPUD_FLAGS, CPUD_HELP))
  if (values.version) return print(`cpud ${version()}\n`)
  if (operands[0] !== undefined) throw new UsageError(`unexpected operand ${operands[0]}`)
  const log = openLog(values.klog)
  const debug = values.d ? log : undefined
  if (values.init) {
    if (!mayMountHere())
      throw new UsageError('-init sets a machine up, which takes root', 'leave it out to serve as this user')
    return serveAsInit({ debug })
  }
  return serveUntilSignal({
    addresses: addresses(values),
    keys: authorizedKeys(values, log),
    hostKey: loadHostKey(values.hk ?? path.join(os.homedir(), '.ssh/cpud_host_ed25519')),
    user: sessionUser(values.user),
    limits: { maxStartups: values['max-startups'], loginGraceMs: values['login-grace'] },
    registration:
      values.register === undefined ? undefined : parseRegistration(values.register, values.registerTO),
    log,
    debug,
  })
})

function openLog(toKernel: boolean): (line: string) => void {
  const say = (line: string) => console.error(`cpud: ${line}`)
  if (!toKernel) return say
  try {
    const note = openKernelLog()
    return line => {
      say(line)
      note(line)
    }
  } catch (cause) {
    throw new CpuError(
      'ERR_CPU_KERNEL_LOG',
      `cannot log to the kernel (-klog): ${(cause as Error).message}`,
      {
        cause,
        remedy: 'run cpud as root, or leave -klog out',
      },
    )
  }
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

function addresses({ net, addr, sp }: Values): Address[] {
  const networks: readonly Network[] = net.length === 0 ? ['tcp'] : net
  return networks.map(network => {
    if (network.startsWith('unix') && addr === undefined)
      throw new UsageError(`-net ${network} needs -addr PATH`)
    const any = network === 'vsock' ? String(VMADDR_CID_ANY) : network === 'tcp4' ? '0.0.0.0' : '::'
    return toAddress({ net: network, host: addr ?? any, port: sp })
  })
}

function authorizedKeys(
  { pk, 'insecure-no-auth': anybody }: Values,
  log: (line: string) => void,
): KeySource | undefined {
  if (anybody) {
    if (pk === undefined) return undefined
    throw new UsageError('-pk and -insecure-no-auth contradict each other', 'leave one of them out')
  }
  if (pk === undefined) {
    throw new UsageError(
      'who may log in is not said',
      'give -pk FILE (authorized_keys), or -insecure-no-auth for everybody',
    )
  }
  const keys = keysIn(pk, log)
  if (keys().length === 0) throw new UsageError(`${pk} (-pk) holds no key that could log in`)
  return keys
}

function print(text: string): number {
  process.stdout.write(text)
  return 0
}
