// Which ciphers each side of an SSH connection offers, by what its processor can do fast. The first of the client's
// that the server offers too is taken (RFC 4253, section 7.1), so a server has its say by what it leaves out.
import fs from 'node:fs'
import type ssh2 from 'ssh2'

export interface Processor {
  /** Whether it has instructions for AES. */
  readonly aes: boolean
}

type Cipher = ssh2.CipherAlgorithm

const GCM: readonly Cipher[] = ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com']
const CHACHA: readonly Cipher[] = ['chacha20-poly1305@openssh.com']
// Two passes, with the HMAC, and so the slowest of all; for peers that have nothing else.
const CTR: readonly Cipher[] = ['aes128-ctr', 'aes256-ctr']

/** The fastest here first. Without the instructions AES-GCM takes twice the time of ChaCha20, with them half of it. */
export function clientCiphers({ aes }: Processor): Cipher[] {
  return aes ? [...GCM, ...CHACHA, ...CTR] : [...CHACHA, ...GCM, ...CTR]
}

/**
 * What a server takes. A slow one leaves AES-GCM out: clients with fast AES ask for it first, knowing only their own
 * processor, and would then take ChaCha20, which they do fast as well. AES-CTR stays, as some have only AES.
 */
export function serverCiphers({ aes }: Processor): Cipher[] {
  return aes ? [...GCM, ...CHACHA, ...CTR] : [...CHACHA, ...CTR]
}

/**
 * Reads the text of /proc/cpuinfo, or its beginning. Where there is no list of features (s390x, ppc64, not Linux) the
 * processor is taken to have AES, as all of these do.
 */
export function parseProcessor(cpuinfo: string): Processor {
  const features = /^(?:flags|Features|isa)\s*:(.*)$/m.exec(cpuinfo)?.[1]
  return { aes: features === undefined || features.split(/\s+/).includes('aes') }
}

/** Enough for the first processor. The whole file takes milliseconds where there are hundreds. */
const CPUINFO_BYTES = 8192

/** This machine's. */
export function thisProcessor(): Processor {
  try {
    const fd = fs.openSync('/proc/cpuinfo', 'r')
    try {
      const buffer = Buffer.alloc(CPUINFO_BYTES)
      return parseProcessor(buffer.toString('latin1', 0, fs.readSync(fd, buffer)))
    } finally {
      fs.closeSync(fd)
    }
  } catch {
    return parseProcessor('')
  }
}

/**
 * Whether this connection, after its handshake, is encrypted by ssh2's native part, which is several times as fast as
 * its JavaScript; undefined where this version of ssh2 does not let us see.
 */
export function encryptsNatively(connection: ssh2.Client | ssh2.Connection): boolean | undefined {
  const { _protocol: protocol } = connection as {
    _protocol?: { _cipher?: { _instance?: unknown; outSeqno?: unknown } }
  }
  const cipher = protocol?._cipher
  return typeof cipher?.outSeqno === 'number' ? cipher._instance !== undefined : undefined
}

/** What to say of a connection that `encryptsNatively` denies. */
export const SLOW_ENCRYPTION =
  "slowly: ssh2's native part (sshcrypto.node) is missing, rebuild with npm rebuild ssh2"

type HostKeyAlgorithm = ssh2.ServerHostKeyAlgorithm

/** In the order of ssh2, with the type of key that each is for. */
const HOST_KEY_ALGORITHMS: readonly (readonly [HostKeyAlgorithm, string])[] = [
  ['ssh-ed25519', 'ssh-ed25519'],
  ['ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp256'],
  ['ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp384'],
  ['ecdsa-sha2-nistp521', 'ecdsa-sha2-nistp521'],
  ['rsa-sha2-512', 'ssh-rsa'],
  ['rsa-sha2-256', 'ssh-rsa'],
  ['ssh-rsa', 'ssh-rsa'],
]

/** Which key a client wants to see: one of the types that it knows the host by, if the host has one. */
export function hostKeyAlgorithms(knownTypes: readonly string[]): HostKeyAlgorithm[] {
  const isKnown = ([, type]: (typeof HOST_KEY_ALGORITHMS)[number]) => knownTypes.includes(type)
  return [
    ...HOST_KEY_ALGORITHMS.filter(isKnown),
    ...HOST_KEY_ALGORITHMS.filter(entry => !isKnown(entry)),
  ].map(([algorithm]) => algorithm)
}
