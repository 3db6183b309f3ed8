// What an `exec` request and the `env` requests before it say: PROTOCOL, "Session", steps 4 and 5.
//
// SSH strings are bytes, but ssh2's server half decodes them as UTF-8, losing what is none, and takes packets of
// 35,000 bytes at most. So to a cpud of ours, what is no UTF-8, or long, goes in base64 and in pieces, in variables of
// our own. To any other server all goes as it is.
import { isUtf8 } from 'node:buffer'
import { FILE_PROTOCOLS, type FileProtocol } from '../namespace/file-protocol.js'
import type { Peer } from './peer.js'
import { quoteCommand, splitCommand } from './quote.js'

/** Variables of the protocol, which the program does not get to see. */
export const NONCE_VARIABLE = 'CPUNONCE'
export const FSTAB_VARIABLE = 'CPU_FSTAB'
/** The fstab once more: this name gets through sshd's and sudo's filters. */
export const FSTAB_VARIABLE_FOR_SSHD = 'LC_GLENDA_CPU_FSTAB'
/**
 * `PORT:NONCE` or `PATH:NONCE`: where on vsock, or at which unix socket, the client waits for a connection to its files
 * that goes past SSH. Only for a cpud on one physical machine with it, as one that was reached over vsock, a unix socket
 * or loopback: encryption would buy nothing.
 */
export const DIRECT_FILES_VARIABLE = 'CPU_DIRECT_FILES'
/** Where a client waits whose files can be reached past SSH. */
export interface DirectFiles {
  /** A vsock port, or the path of a unix socket. */
  readonly at: number | string
  readonly nonce: string
}

/** By which protocols the client serves its files, best first: `fuse,9p`. Without it, by 9P. */
export const FILE_PROTOCOLS_VARIABLE = 'CPU_FILE_PROTOCOLS'
/** How the client wants its files mounted, as mount options (namespace/ninep-options.ts). */
export const NINEP_OPTIONS_VARIABLE = 'CPU_9P_OPTIONS'
/** What ends the session where it would else go on, by words: `fstab,directory`. */
export const STRICT_VARIABLE = 'CPU_STRICT'
/** Followed by a piece's number. Together: base64 of `KEY=value` strings, each ended by a NUL. */
const EXACT_VARIABLE = 'CPU_EXACT_'
/** Within the exact variables, the key of the exec string itself. */
const COMMAND_KEY = '\u0001command'

/** What ends the session. */
export interface Strictness {
  /** A line of the fstab that is wrong or fails, unless it says `nofail`. */
  readonly fstab: boolean
  /** That the directory to start in is missing. */
  readonly directory: boolean
}

/** Of one request. Go's SSH and OpenSSH take packets of 256 KiB. */
const MAX_REQUEST_BYTES: Record<Peer, number> = { ours: 30_000, another: 250_000 }
const PIECE_BYTES = MAX_REQUEST_BYTES.ours
const MAX_PIECES = 1_000

/** Whether the name is one of the protocol's own. A server that does not know ours hands them on to the program. */
export function isProtocolVariable(name: string): boolean {
  return PROTOCOL_VARIABLES.has(name) || name.startsWith(EXACT_VARIABLE)
}

const PROTOCOL_VARIABLES: ReadonlySet<string> = new Set([
  NONCE_VARIABLE,
  FSTAB_VARIABLE,
  FSTAB_VARIABLE_FOR_SSHD,
  DIRECT_FILES_VARIABLE,
  FILE_PROTOCOLS_VARIABLE,
  STRICT_VARIABLE,
  NINEP_OPTIONS_VARIABLE,
])

/** Roughly what a variable costs besides its text. */
const VARIABLE_OVERHEAD = 64

/** What a server gets to see of a command that it could not read, or only in exact variables. */
const UNREADABLE = Buffer.from('cpu: this server cannot read so long a command line')

export interface ExecRequest {
  /** The program and its arguments; empty for the user's shell. */
  readonly args: readonly Buffer[]
  /** The forwarded port behind which the client serves its files; undefined for none. */
  readonly filePort: number | undefined
}

/** The two requests on the wire: variables for `env`, in order, and the string for `exec`. */
export interface EncodedExec {
  readonly command: Buffer
  readonly environment: Record<string, Buffer>
}

/** `-port9p=P 'arg0' 'arg1'...` and the environment beside it, for that peer to read. */
export function encodeExec(
  request: ExecRequest,
  environment: ReadonlyMap<string, Buffer>,
  peer: Peer,
): EncodedExec {
  const command = commandString(request)
  const plain: Record<string, Buffer> = {}
  const exact = new Map<string, Buffer>()
  const fits = (bytes: Buffer) => bytes.length <= MAX_REQUEST_BYTES[peer]
  const isReadable = (bytes: Buffer) => fits(bytes) && (peer === 'another' || isUtf8(bytes))
  for (const [key, value] of environment) {
    if (isReadable(value)) plain[key] = value
    else exact.set(key, value)
  }
  if (!isReadable(command)) exact.set(COMMAND_KEY, command)
  return {
    command: fits(command) ? command : commandString({ ...request, args: [UNREADABLE] }),
    environment: peer === 'ours' ? { ...plain, ...exactVariables(exact) } : plain,
  }
}

function commandString({ args, filePort }: ExecRequest): Buffer {
  const command = quoteCommand(args)
  return filePort === undefined ? command : Buffer.concat([Buffer.from(`-port9p=${filePort} `), command])
}

function exactVariables(exact: ReadonlyMap<string, Buffer>): Record<string, Buffer> {
  const strings = [...exact].flatMap(([key, value]) => [Buffer.from(`${key}=`), value, Buffer.of(0)])
  const text = Buffer.from(Buffer.concat(strings).toString('base64'))
  const variables: Record<string, Buffer> = {}
  for (let piece = 0; piece * PIECE_BYTES < text.length; piece++)
    variables[EXACT_VARIABLE + piece] = text.subarray(piece * PIECE_BYTES, (piece + 1) * PIECE_BYTES)
  return variables
}

/** Takes an exec string apart. Throws CpuError for quoting that does not end. */
export function decodeExec(command: Buffer): ExecRequest {
  const [first, ...rest] = splitCommand(command)
  const port = /^--?port9p=([0-9]{1,5})$/.exec(first?.toString('latin1') ?? '')
  if (port !== null) return { filePort: Number(port[1]), args: rest }
  return { filePort: undefined, args: first === undefined ? [] : [first, ...rest] }
}

function withoutPort(command: Buffer): Buffer {
  const port = /^--?port9p=\d{1,5}( |$)/.exec(command.toString('latin1', 0, 20))
  return port === null ? command : command.subarray(port[0].length)
}

/** What a client asks of a session. */
export interface SessionRequest {
  readonly exec: ExecRequest
  /** The exec string, without the port of the files. */
  readonly command: Buffer
  readonly nonce: string | undefined
  readonly directFiles: DirectFiles | undefined
  readonly protocols: readonly FileProtocol[]
  readonly ninepOptions: string
  readonly fstab: string
  readonly strictness: Strictness
  /** The program's environment. */
  readonly program: Map<string, Buffer>
}

/** What a server got in `env` requests, taken apart into the protocol's variables and the program's. */
export class ReceivedEnvironment {
  readonly #plain = new Map<string, string>()

  /** What all the requests took, to be bounded by the caller. */
  bytes = 0

  set(key: string, value: string): void {
    this.#plain.set(key, value)
    this.bytes += VARIABLE_OVERHEAD + key.length + value.length
  }

  /** Everything that was sent, exactly, together with the exec string if that was sent exactly. */
  decode(received: string): SessionRequest {
    const all = new Map<string, Buffer>()
    for (const [key, value] of this.#plain)
      if (!key.startsWith(EXACT_VARIABLE)) all.set(key, Buffer.from(value))
    for (const [key, value] of this.#exact()) all.set(key, value)
    const take = (key: string) => {
      const value = all.get(key)
      all.delete(key)
      return value
    }
    const command = take(COMMAND_KEY) ?? Buffer.from(received)
    const forSshd = take(FSTAB_VARIABLE_FOR_SSHD)
    const fstab = (take(FSTAB_VARIABLE) ?? forSshd)?.toString() ?? ''
    return {
      exec: decodeExec(command),
      command: withoutPort(command),
      nonce: take(NONCE_VARIABLE)?.toString(),
      directFiles: parseDirect(take(DIRECT_FILES_VARIABLE)?.toString()),
      protocols: parseProtocols(take(FILE_PROTOCOLS_VARIABLE)?.toString()),
      ninepOptions: take(NINEP_OPTIONS_VARIABLE)?.toString() ?? '',
      fstab,
      strictness: parseStrictness(take(STRICT_VARIABLE)?.toString() ?? ''),
      program: all,
    }
  }

  *#exact(): Iterable<[string, Buffer]> {
    let text = ''
    for (let piece = 0; piece < MAX_PIECES; piece++) {
      const value = this.#plain.get(EXACT_VARIABLE + piece)
      if (value === undefined) break
      text += value
    }
    const bytes = Buffer.from(text, 'base64')
    for (let start = 0, end = bytes.indexOf(0); end !== -1; start = end + 1, end = bytes.indexOf(0, start)) {
      const string = bytes.subarray(start, end)
      const equals = string.indexOf('=')
      if (equals > 0) yield [string.toString('utf8', 0, equals), string.subarray(equals + 1)]
    }
  }
}

/** Empty for none. */
export function formatStrictness(strictness: Strictness): string {
  return strictWords.filter(word => strictness[word]).join()
}

const strictWords = ['fstab', 'directory'] as const

function parseStrictness(text: string): Strictness {
  const words = text.split(',')
  return { fstab: words.includes('fstab'), directory: words.includes('directory') }
}

function parseProtocols(text: string | undefined): FileProtocol[] {
  return text === undefined ? ['9p'] : FILE_PROTOCOLS.filter(name => text.split(',').includes(name))
}

/** The only sockets that a client has cpud connect to. */
const FILE_SOCKET = /^\/[^:]+\/\.files-[0-9a-f]{32}$/

function parseDirect(text: string | undefined): DirectFiles | undefined {
  const [, at = '', nonce = ''] = /^(.+):([0-9a-f]{32})$/s.exec(text ?? '') ?? []
  if (FILE_SOCKET.test(at)) return { at, nonce }
  return /^\d{1,10}$/.test(at) ? { at: Number(at), nonce } : undefined
}
