// The keys that a client offers, one after the other, as OpenSSH orders them: what the agent has, of that the named keys
// first, then the other key files. Nobody is asked for a passphrase before the server wants that key, where the public
// half tells.
import ssh2 from 'ssh2'
import type { AskPassphrase, Identity } from './identity.js'

export interface Login {
  readonly username: string
  /** In order of preference. */
  readonly identities: readonly Identity[]
  readonly agentSocket?: string | undefined
  /** Of the agent's keys, only those in `identities` are offered. */
  readonly identitiesOnly?: boolean | undefined
  /** Absent where nobody can be asked. */
  readonly askPassphrase?: AskPassphrase | undefined
}

/** What was offered, in words, is added to `tried`. */
export async function* loginMethods(login: Login, tried: string[]): AsyncGenerator<ssh2.AnyAuthMethod> {
  const { username, agentSocket } = login
  const inAgent = new Set<Identity>()
  if (agentSocket !== undefined) {
    const agent = ssh2.createAgent(agentSocket)
    const keys = await agentKeys(agent)
    for (const identity of login.identities)
      if (keys.some(key => isSame(key, identity))) inAgent.add(identity)
    const named = [...inAgent].flatMap(identity => keys.filter(key => isSame(key, identity)))
    const others = login.identitiesOnly ? [] : keys.filter(key => !named.includes(key))
    tried.push(...[...inAgent].map(({ name }) => `${name} in the agent`))
    if (others.length > 0) tried.push('the agent')
    if (keys.length === 0) tried.push('the agent, which has no key for us')
    const offered = [...named, ...others]
    if (offered.length > 0) yield { type: 'agent', username, agent: offer(offered, signerOf(agent)) }
  }
  for (const identity of login.identities)
    if (!inAgent.has(identity)) yield* fileMethods(identity, login, tried)
  // A server that asks for no authentication at all says so to this method.
  yield { type: 'none', username }
}

async function* fileMethods(
  identity: Identity,
  { username, askPassphrase: ask }: Login,
  tried: string[],
): AsyncGenerator<ssh2.AnyAuthMethod> {
  const { name, key, publicKey, unlock } = identity
  if (key !== undefined) {
    tried.push(name)
    yield { type: 'publickey', username, key }
  } else if (unlock === undefined) tried.push(`${name}, whose private half no agent has`)
  else if (ask === undefined) tried.push(`${name}, which is locked`)
  else {
    tried.push(name)
    if (publicKey !== undefined)
      yield {
        type: 'agent',
        username,
        agent: offer(
          [publicKey],
          signerFor(name, () => unlock(ask)),
        ),
      }
    else {
      const unlocked = await unlock(ask)
      if (unlocked !== undefined) yield { type: 'publickey', username, key: unlocked }
    }
  }
}

/** The types want an agent of keys in every form. */
function offer(keys: ssh2.ParsedKey[], sign: Signer): ssh2.BaseAgent {
  return new OfferedKeys(keys, sign) as ssh2.BaseAgent<never> as ssh2.BaseAgent
}

function isSame(key: ssh2.ParsedKey, { publicKey }: Identity): boolean {
  return publicKey?.getPublicSSH().equals(key.getPublicSSH()) === true
}

/** None where the agent does not answer: there are other keys. */
function agentKeys(agent: ssh2.BaseAgent): Promise<ssh2.ParsedKey[]> {
  return new Promise(resolve => {
    agent.getIdentities((error, keys) => {
      const parsed = (error ? [] : (keys ?? [])).map(key => ssh2.utils.parseKey(key as ssh2.ParsedKey))
      resolve(parsed.flatMap(key => (key instanceof Error ? [] : key)))
    })
  })
}

type Signer = (key: ssh2.ParsedKey, data: Buffer, options: ssh2.SigningRequestOptions) => Promise<Buffer>

/** Has the agent sign. */
function signerOf(agent: ssh2.BaseAgent): Signer {
  return (key, data, options) =>
    new Promise((resolve, reject) => {
      agent.sign(key, data, options, (error, signature) => {
        if (signature === undefined) reject(error ?? new Error('the agent does not sign'))
        else resolve(signature)
      })
    })
}

/** Unlocks the key when its signature is wanted, which is when the server has said that it would do. */
function signerFor(name: string, unlock: () => Promise<ssh2.ParsedKey | undefined>): Signer {
  return async (_key, data, options) => {
    const signature = (await unlock())?.sign(data, options.hash)
    if (Buffer.isBuffer(signature)) return signature
    throw signature ?? new Error(`${name} stays locked`)
  }
}

/** Keys as ssh2 takes them from an agent: in our order, and signed with as we say. */
class OfferedKeys extends ssh2.BaseAgent<ssh2.ParsedKey> {
  readonly #keys: ssh2.ParsedKey[]
  readonly #sign: Signer

  constructor(keys: ssh2.ParsedKey[], sign: Signer) {
    super()
    this.#keys = keys
    this.#sign = sign
  }

  override getIdentities(callback: ssh2.IdentityCallback<ssh2.ParsedKey>): void {
    callback(undefined, this.#keys)
  }

  override sign(
    key: ssh2.ParsedKey,
    data: Buffer,
    options: ssh2.SigningRequestOptions | ssh2.SignCallback,
    callback?: ssh2.SignCallback,
  ): void {
    const [request, done] = typeof options === 'function' ? [{}, options] : [options, callback]
    this.#sign(key, data, request).then(
      signature => done?.(undefined, signature),
      reason => done?.(reason),
    )
  }
}
