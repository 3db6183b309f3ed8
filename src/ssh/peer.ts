// Who is at the other end: a cpud of ours, or u-root's, or anybody else who goes by PROTOCOL. Told by the software
// version of RFC 4253, section 4.2. Only what a peer cannot read is left out for that; all else is negotiated.
import type ssh2 from 'ssh2'

/** The software version of our cpud. */
export const CPUD_SOFTWARE = 'cpu-harness'

/** That of programs in Go which do not set one, u-root's client among them. */
export const GO_SOFTWARE = 'Go'

/** Whose server a client is connected to. */
export type Peer = 'ours' | 'another'

/** The software of a server that is known to be no cpud, and to mount nothing; undefined for others. */
export function plainServer(client: ssh2.Client): string | undefined {
  const software = softwareOf(client)
  return software !== undefined && /^(OpenSSH|dropbear)/i.test(software) ? software : undefined
}

/** Also `ours` where this version of ssh2 does not let us see. */
export function peerOf(client: ssh2.Client): Peer {
  return (softwareOf(client) ?? CPUD_SOFTWARE) === CPUD_SOFTWARE ? 'ours' : 'another'
}

function softwareOf(client: ssh2.Client): string | undefined {
  return (client as unknown as { readonly _remoteVer?: string })._remoteVer
}
