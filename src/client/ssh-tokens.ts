// `%h` and its like in values of ssh_config: ssh_config(5), "TOKENS" and "ENVIRONMENT VARIABLES".
import os from 'node:os'
import path from 'node:path'
import { UsageError } from '../errors.js'
import { localUser } from '../local-user.js'
import { findUser } from '../native/users.js'

/** What tokens stand for, by their letter. */
export type Tokens = Readonly<Record<string, string>>

export interface TokenSubjects {
  /** As the user named the host. */
  readonly alias: string
  /** Where the connection goes. */
  readonly host: string
  readonly port: string
  /** Who logs in there. */
  readonly user: string
  readonly hostKeyAlias?: string | undefined
}

export function tokensFor({ alias, host, port, user, hostKeyAlias }: TokenSubjects): Tokens {
  const local = localUser()
  return {
    '%': '%',
    h: host,
    p: port,
    r: user,
    n: alias,
    k: hostKeyAlias ?? alias,
    u: local.name,
    i: String(local.uid),
    d: os.homedir(),
    l: os.hostname(),
    L: os.hostname().split('.')[0] ?? '',
  }
}

/** `place` is for messages. Throws UsageError for a token that has no meaning here. */
export function expandTokens(text: string, tokens: Tokens, place: string): string {
  return text.replace(/%(.?)/gs, (_, letter: string) => {
    const value = Object.hasOwn(tokens, letter) ? tokens[letter] : undefined
    if (value === undefined)
      throw new UsageError(
        `${place}: unknown token %${letter}`,
        `cpu knows ${Object.keys(tokens)
          .map(known => `%${known}`)
          .join(' ')}`,
      )
    return value
  })
}

/** Tokens, `${VARIABLE}`, and `~/` or `~NAME/` at the start. Throws UsageError. */
export function expandPath(text: string, tokens: Tokens, place: string): string {
  const named = text.replace(/\$\{([^}]*)\}/g, (_, name: string) => {
    const value = process.env[name]
    if (value === undefined) throw new UsageError(`${place}: there is no variable ${name} in the environment`)
    return value.replaceAll('%', '%%')
  })
  return expandHome(expandTokens(named, tokens, place))
}

/** `~/` at the start stands for the home directory, `~NAME/` for that user's. Throws UsageError for nobody's. */
export function expandHome(file: string): string {
  const [, name, rest = ''] = /^~([^/]*)\/(.*)$/s.exec(file) ?? []
  if (name === undefined) return file
  if (name === '') return path.join(os.homedir(), rest)
  const home = homeOf(name)
  if (home === undefined) throw new UsageError(`${file}: this machine has no user ${name}`)
  return path.join(home, rest)
}

/** Elsewhere than on Linux, nobody's but one's own is known. */
function homeOf(name: string): string | undefined {
  return process.platform === 'linux' ? findUser(name)?.home : undefined
}
