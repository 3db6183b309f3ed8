// Messages of DHCP: RFC 2131, section 2; options: RFC 2132. What a client sends, and what it reads of a server's.

export const messageType = { discover: 1, offer: 2, request: 3, ack: 5, nak: 6 } as const

/** Their codes. */
export const option = {
  subnetMask: 1,
  router: 3,
  nameServer: 6,
  hostName: 12,
  requestedAddress: 50,
  leaseTime: 51,
  messageType: 53,
  serverIdentifier: 54,
  parameterList: 55,
  maxMessageSize: 57,
  renewalTime: 58,
  rebindingTime: 59,
  clientIdentifier: 61,
} as const

export interface DhcpRequest {
  readonly type: number
  readonly transaction: number
  /** Six bytes. */
  readonly hardwareAddress: Uint8Array
  /** The client's own, four bytes, where it has one already; replies then come to it alone, else to all. */
  readonly clientAddress?: Uint8Array | undefined
  readonly options: readonly (readonly [code: number, value: Uint8Array])[]
}

export interface DhcpReply {
  readonly type: number
  readonly transaction: number
  readonly hardwareAddress: Uint8Array
  /** `yiaddr`: what the client may have. */
  readonly yourAddress: Uint8Array
  readonly options: ReadonlyMap<number, Uint8Array>
}

const BOOTREQUEST = 1
const BOOTREPLY = 2
const ETHERNET = 1
const FLAG_BROADCAST = 0x8000
const MAGIC_COOKIE = 0x63825363
const OPTIONS_OFFSET = 240
/** Of a message of BOOTP, below which some servers and relays take none. */
const MIN_SIZE = 300
const PAD = 0
const END = 255

export function encodeRequest(request: DhcpRequest): Buffer {
  const options = [[option.messageType, Uint8Array.of(request.type)] as const, ...request.options]
  const fields = options.flatMap(([code, value]) => [Uint8Array.of(code, value.length), value])
  const head = Buffer.alloc(OPTIONS_OFFSET)
  head[0] = BOOTREQUEST
  head[1] = ETHERNET
  head[2] = request.hardwareAddress.length
  head.writeUInt32BE(request.transaction, 4)
  if (request.clientAddress === undefined) head.writeUInt16BE(FLAG_BROADCAST, 10)
  else head.set(request.clientAddress, 12)
  head.set(request.hardwareAddress, 28)
  head.writeUInt32BE(MAGIC_COOKIE, 236)
  const message = Buffer.concat([head, ...fields, Uint8Array.of(END)])
  return Buffer.concat([message, Buffer.alloc(Math.max(0, MIN_SIZE - message.length))])
}

/** Undefined for what is no reply of DHCP: too short, without cookie, with an option that runs past the end. */
export function decodeReply(message: Buffer): DhcpReply | undefined {
  if (message.length < OPTIONS_OFFSET || message[0] !== BOOTREPLY) return undefined
  if (message.readUInt32BE(236) !== MAGIC_COOKIE) return undefined
  const options = decodeOptions(message.subarray(OPTIONS_OFFSET))
  const type = options?.get(option.messageType)
  if (options === undefined || type?.length !== 1) return undefined
  return {
    type: type[0]!,
    transaction: message.readUInt32BE(4),
    hardwareAddress: message.subarray(28, 34),
    yourAddress: message.subarray(16, 20),
    options,
  }
}

function decodeOptions(bytes: Buffer): Map<number, Uint8Array> | undefined {
  const options = new Map<number, Uint8Array>()
  for (let at = 0; at < bytes.length; ) {
    const code = bytes[at++]!
    if (code === PAD) continue
    if (code === END) break
    const length = bytes[at++]
    if (length === undefined || at + length > bytes.length) return undefined
    options.set(code, bytes.subarray(at, at + length))
    at += length
  }
  return options
}
