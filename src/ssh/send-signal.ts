// Signals to the program at the other end of a channel: RFC 4254, section 6.9. Called by the client's session.
import type ssh2 from 'ssh2'

interface Internals {
  readonly outgoing?: { readonly id: number; readonly state: string }
  readonly _client?: { readonly _protocol?: { signal?(channel: number, name: string): void } }
}

/** Sends a signal (`TERM`), also when stdin has ended: ssh2's own method does nothing then. */
export function sendSignal(channel: ssh2.ClientChannel, name: string): void {
  const { outgoing, _client: client } = channel as unknown as Internals
  if (outgoing?.state === 'eof' && client?._protocol?.signal !== undefined)
    client._protocol.signal(outgoing.id, name)
  else channel.signal(name)
}
