#!/usr/bin/env node
// cpud: argv -> options -> one call -> exit code.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { CPUD_FLAGS, CPUD_HELP } from '../cli/cpud-flags.js'
import { type FlagValues, parseFlags } from '../cli/flags.js'
import { renderHelp } from '../cli/help.js'
import { runMain } from '../cli/main.js'
import { loadHostKey } from '../cpud/host-key.js'
import { serveAsInit, serveUntilSignal } from '../cpud/serve.js'
import { UsageError } from '../errors.js'
import { VMADDR_CID_ANY } from '../linux/vsock.js'
import { mayMountHere } from '../native/user-namespace.js'
import { type AuthorizedKey, parseAuthorizedKeys } from '../ssh/authorized-keys.js'
import { type Address, type Network, toAddress } from '../transport/address.js'
import { version } from '../version.js'

type Values = FlagValues<typeof CPUD_FLAGS>

void runMain('cpud', async argv => {
  const { values, operands } = parseFlags(CPUD_FLAGS, argv)
  if (values.help || values.h) return print(renderHelp(CPUD_FLAGS, CPUD_HELP))
  if (values.version) return print(`cpud ${version()}\n`)
  if (operands[0] !== undefined) throw new UsageError(`unexpected operand ${operands[0]}`)
  const log = (line: string) => console.error(`cpud: ${line}`)
  const debug = values.d ? log : undefined
  if (values.init) {
    if (!mayMountHere())
      throw new UsageError('-init sets a machine up, which takes root', 'leave it out to serve as this user')
    return serveAsInit({ debug })
  }
  return serveUntilSignal({
    addresses: addresses(values),
    hostKey: loadHostKey(values.hk ?? path.join(os.homedir(), '.ssh/cpud_host_ed25519')),
    authorizedKeys: authorizedKeys(values, log),
    log,
    debug,
  })
})

function addresses({ net, addr, sp }: Values): Address[] {
  const networks: readonly Network[] = net.length === 0 ? ['tcp'] : net
  return networks.map(network => {
    if (network.startsWith('unix') && addr === undefined)
      throw new UsageError(`-net ${network} needs -addr PATH`)
    const any = network === 'vsock' ? String(VMADDR_CID_ANY) : network === 'tcp4' ? '0.0.0.0' : '::'
    return toAddress({ net: network, host: addr ?? any, port: sp })
  })
}

function authorizedKeys(values: Values, log: (line: string) => void): readonly AuthorizedKey[] | undefined {
  if (values['insecure-no-auth']) return undefined
  if (values.pk === undefined) {
    throw new UsageError(
      'who may log in is not said',
      'give -pk FILE (authorized_keys), or -insecure-no-auth for everybody',
    )
  }
  let text: string
  try {
    text = fs.readFileSync(values.pk, 'utf8')
  } catch (error) {
    throw new UsageError(`cannot read ${values.pk} (-pk): ${(error as Error).message}`)
  }
  const { keys, problems } = parseAuthorizedKeys(text)
  for (const problem of problems) log(problem)
  if (keys.length === 0) throw new UsageError(`${values.pk} holds no key that could log in`)
  return keys
}

function print(text: string): number {
  process.stdout.write(text)
  return 0
}
