import { createHash } from 'node:crypto'

/** The fingerprint of a public key in SSH wire form, as OpenSSH shows it: `SHA256:` and base64 without padding. */
export function fingerprint(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`
}

/** The key type that a public key in SSH wire form starts with, such as `ssh-ed25519`. */
export function keyType(key: Buffer): string {
  return key.length < 4 ? '' : key.toString('latin1', 4, 4 + key.readUInt32BE(0))
}
