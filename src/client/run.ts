// `cpu`'s main line: dial, authenticate, offer the files, run the command, return its exit code.
import path from 'node:path'
import type ssh2 from 'ssh2'
import { CpuError } from '../errors.js'
import { formatPlan } from '../namespace/format-plan.js'
import type { NinePOptions } from '../namespace/ninep-mount.js'
import { formatNinePOptions } from '../namespace/ninep-options.js'
import { sessionPlan } from '../namespace/session-plan.js'
import { workingDirectoryCandidates } from '../namespace/working-directory.js'
import {
  type EncodedExec,
  encodeExec,
  FSTAB_VARIABLE,
  FSTAB_VARIABLE_FOR_SSHD,
  formatStrictness,
  isProtocolVariable,
  NINEP_OPTIONS_VARIABLE,
  STRICT_VARIABLE,
  type Strictness,
} from '../ssh/exec-request.js'
import { type Peer, peerOf, plainServer } from '../ssh/peer.js'
import type { ProgramEnd } from '../ssh/program-end.js'
import { quoteCommand, quoteWord } from '../ssh/quote.js'
import { formatAddress } from '../transport/address.js'
import { type Connection, connectTo } from './connection.js'
import type { Destination } from './destination.js'
import { type FileOffer, FileService, type OfferedFiles } from './file-service.js'
import { runSession, type SessionStreams, type SignalSource } from './session.js'

/** Everything `cpu` needs to know, worked out from flags, ssh_config and environment. */
export interface ClientOptions extends SessionStreams {
  readonly destination: Destination
  /** What is served to the other side; undefined for nothing. */
  readonly files?: (OfferedFiles & { readonly timeoutMs: number }) | undefined
  /** How they are mounted there. */
  readonly mountOptions: NinePOptions
  /** The text of CPU_FSTAB: the namespace's binds and the user's own lines. */
  readonly fstab: string
  /** What ends the session where it would else go on. */
  readonly strictness: Strictness
  readonly environment: ReadonlyMap<string, Buffer>
  /** Where the program starts, which is PWD in the environment. */
  readonly workingDirectory: string
  readonly args: readonly Buffer[]
  readonly terminal: boolean
  /** What starts an escape on a terminal of ours, if anything. */
  readonly escapeCharacter: string | undefined
  readonly signal?: AbortSignal | undefined
  /** Where signals for the program come from, if not from this process. */
  readonly signals?: SignalSource | undefined
  /** Called when the command is asked for: signals are passed to it from then on. */
  readonly onStart?: (() => void) | undefined
  /** Lines for `-v`. */
  readonly log: (line: string) => void
  readonly debug?: ((line: string) => void) | undefined
}

/** Runs the command there and returns its exit code, 128+n for signal n. Throws CpuError when it cannot be told. */
export async function runCommand(options: ClientOptions): Promise<number> {
  return (await runProgram(options)).exitCode
}

/** Runs the command there and tells how it ended. Throws CpuError when it cannot be told. */
export async function runProgram(options: ClientOptions): Promise<ProgramEnd> {
  // Started first: its thread gets ready while the connection is made.
  const files = options.files && new FileService(options.destination.address, options.files)
  try {
    return await runConnected(options, files)
  } finally {
    await files?.close()
  }
}

async function runConnected(options: ClientOptions, files: FileService | undefined): Promise<ProgramEnd> {
  const connection = await connectTo(options.destination, options)
  try {
    return await runOn(connection, options, files)
  } finally {
    connection.close()
  }
}

async function runOn(
  { client, broken }: Connection,
  options: ClientOptions,
  files: FileService | undefined,
): Promise<ProgramEnd> {
  if (files !== undefined || options.fstab !== '') refusePlainServer(client, options.destination)
  const offer = files && (await offerFiles(client, options, files))
  const failed = new AbortController()
  const signals = [broken, failed.signal, ...(options.signal === undefined ? [] : [options.signal])]
  let isOver = false
  options.onStart?.()
  files?.connected(options.files?.timeoutMs ?? 0).then(
    way => options.log(`the other side has our files, ${way}`),
    reason => isOver || failed.abort(reason),
  )
  try {
    return await runSession(client, {
      stdin: options.stdin,
      stdout: options.stdout,
      stderr: options.stderr,
      request: sessionRequest(options, offer, peerOf(client)),
      terminal: options.terminal,
      terminalType: options.environment.get('TERM')?.toString() ?? 'dumb',
      escapeCharacter: options.escapeCharacter,
      signals: options.signals,
      signal: AbortSignal.any(signals),
    })
  } finally {
    isOver = true
  }
}

function refusePlainServer(client: ssh2.Client, { address }: Destination): void {
  const software = plainServer(client)
  if (software === undefined) return
  const fact = `${formatAddress(address)} is a plain ssh server (${software}) and no cpud: it mounts nothing`
  throw new CpuError('ERR_CPU_FILES', fact, {
    remedy: 'start cpud there and give its port with -sp, or use -ssh to do without files and mounts',
  })
}

function sessionRequest(options: ClientOptions, offer: FileOffer | undefined, peer: Peer): EncodedExec {
  const environment = sessionEnvironment(options, offer)
  const filePort = offer?.port
  if (peer === 'ours') return encodeExec({ args: options.args, filePort }, environment, peer)
  // Go's cpud knows no shell but a variable's, and mounts below $TMPDIR what the fstab expects below /tmp.
  const shell = [environment.get('SHELL') ?? Buffer.from('/bin/sh')]
  environment.set('TMPDIR', Buffer.from('/tmp'))
  return encodeExec({ args: options.args.length > 0 ? options.args : shell, filePort }, environment, peer)
}

/** The user's variables and the protocol's. No nonce without files: Go's cpud would come for them. */
function sessionEnvironment(options: ClientOptions, offer: FileOffer | undefined): Map<string, Buffer> {
  const environment = new Map([...options.environment].filter(([name]) => !isProtocolVariable(name)))
  const set = (name: string, text: string) => {
    if (text !== '') environment.set(name, Buffer.from(text))
  }
  set(FSTAB_VARIABLE, options.fstab)
  set(FSTAB_VARIABLE_FOR_SSHD, options.fstab)
  set(STRICT_VARIABLE, formatStrictness(options.strictness))
  if (offer === undefined) return environment
  set(NINEP_OPTIONS_VARIABLE, formatNinePOptions(options.mountOptions))
  for (const [name, value] of offer.environment) set(name, value)
  return environment
}

async function offerFiles(
  client: ssh2.Client,
  options: ClientOptions,
  files: FileService,
): Promise<FileOffer> {
  options.log(`offering ${describeFiles(options.files!)}`)
  return files.offer(client)
}

/** What `-dry-run` shows: where it would go, and what would be done there. */
export function describeRun(options: ClientOptions): string {
  const { steps, problems } = sessionPlan({
    fstabText: options.fstab,
    files: options.files?.protocols[0],
    ninep: options.mountOptions,
    release: '',
    strict: options.strictness.fstab,
  })
  const [start = '/'] = workingDirectoryCandidates(options.workingDirectory, options.files !== undefined)
  const command = options.args.length === 0 ? '$SHELL' : quoteCommand(options.args).toString()
  return [
    `# on ${formatAddress(options.destination.address)} as ${options.destination.login.username}`,
    ...describeProxy(options.destination),
    options.files === undefined ? '# no files are served' : `# files served: ${describeFiles(options.files)}`,
    ...problems.map(problem => `# ${problem.message}`),
    `${formatPlan(steps)}cd ${quoteWord(start)}`,
    command,
    '',
  ].join('\n')
}

function describeFiles({ root, readOnly, shown }: OfferedFiles): string {
  const what = shown === undefined ? root : shown.map(name => path.join(root, name)).join(', ')
  return readOnly ? `${what}, read-only` : what
}

function describeProxy({ proxy }: Destination): string[] {
  if (proxy === undefined) return []
  if ('command' in proxy) return [`# through ${proxy.command}`]
  const { address, login } = proxy.jump
  return [`# through ${formatAddress(address)} as ${login.username}`, ...describeProxy(proxy.jump)]
}
