// Who may log in on one connection, and what his key allows him.
import type ssh2 from 'ssh2'
import { type AuthorizedKey, judgeKey } from '../ssh/authorized-keys.js'
import { fingerprint } from '../ssh/fingerprint.js'
import { type KeyOptions, UNRESTRICTED } from '../ssh/key-options.js'
import type { Arrival } from './arrivals.js'

/** The keys that may log in now; asked at each attempt. */
export type KeySource = () => readonly AuthorizedKey[]

/** An agent may have many keys; each costs a reading of the file. */
const MAX_ATTEMPTS = 20

export class Login {
  /** Of the key that has logged in. */
  options: KeyOptions = UNRESTRICTED
  /** For the log. */
  who = 'anybody (-insecure-no-auth)'
  readonly #keys: KeySource | undefined
  readonly #arrival: Arrival
  #attempts = 0

  /** Without `keys`, anybody may. */
  constructor(keys: KeySource | undefined, arrival: Arrival) {
    this.#keys = keys
    this.#arrival = arrival
  }

  decide(context: ssh2.AuthContext): void {
    if (this.#keys === undefined) return context.accept()
    if (++this.#attempts > MAX_ATTEMPTS)
      return this.#arrival.fail(`more than ${MAX_ATTEMPTS} attempts to log in`)
    if (context.method !== 'publickey') return context.reject(['publickey'])
    const { key: offered, blob, signature, hashAlgo } = context
    const verdict = judgeKey(this.#keys(), offered.data, this.#arrival.peer.address)
    if (verdict === undefined || 'refusal' in verdict) {
      this.#arrival.refusal = verdict?.refusal ?? `there is no line for the key ${fingerprint(offered.data)}`
      return context.reject(['publickey'])
    }
    if (signature === undefined || blob === undefined) return answer(context)
    const { key } = verdict
    if (key.key.verify(blob, signature, hashAlgo) !== true) return context.reject(['publickey'])
    this.options = key.options
    this.who = `key ${fingerprint(key.blob)} (${key.place})`
    context.accept()
  }
}

/**
 * Without a signature the client only asks whether the key would do. ssh2 answers with the type of the key, `ssh-rsa`; by
 * RFC 4252, section 7, it is the algorithm of the request, and older programs in Go insist on that.
 */
function answer(context: ssh2.PublicKeyAuthContext): void {
  if (context.hashAlgo !== undefined) context.key.algo = context.hashAlgo.replace('sha', 'rsa-sha2-')
  context.accept()
}
