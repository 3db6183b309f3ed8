// New keys: of a machine, of a daemon, of a test.
import ssh2 from 'ssh2'

/** Both in OpenSSH's form; the public key without a line feed. */
export interface KeyPair {
  readonly private: string
  readonly public: string
}

/** A new Ed25519 key pair. */
export function generateKey(comment: string): KeyPair {
  for (;;) {
    const pair = ssh2.utils.generateKeyPairSync('ed25519', { comment })
    // ssh2 1.17 cuts off a public key's leading zero byte: one pair in 256 is malformed (mscdex/ssh2#1390)
    if ([pair.private, pair.public].every(text => !(ssh2.utils.parseKey(text) instanceof Error))) return pair
  }
}
