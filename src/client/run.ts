// `cpu`'s main line: dial, authenticate, offer the files, run the command, return its exit code.
import type ssh2 from 'ssh2'
import { formatPlan } from '../namespace/format-plan.js'
import type { NinePOptions } from '../namespace/ninep-mount.js'
import { formatNinePOptions } from '../namespace/ninep-options.js'
import { sessionPlan } from '../namespace/session-plan.js'
import {
  encodeExec,
  FSTAB_VARIABLE,
  FSTAB_VARIABLE_FOR_SSHD,
  formatStrictness,
  NINEP_OPTIONS_VARIABLE,
  NONCE_VARIABLE,
  STRICT_VARIABLE,
  type Strictness,
} from '../ssh/exec-request.js'
import type { ProgramEnd } from '../ssh/program-end.js'
import { quoteCommand } from '../ssh/quote.js'
import { formatAddress } from '../transport/address.js'
import { type Connection, connectTo } from './connection.js'
import type { Destination } from './destination.js'
import { createNonce, type FileOffer, FileService, type OfferedFiles } from './file-service.js'
import { runSession, type SessionStreams } from './session.js'

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
  readonly args: readonly Buffer[]
  readonly terminal: boolean
  /** What starts an escape on a terminal of ours, if anything. */
  readonly escapeCharacter: string | undefined
  readonly signal?: AbortSignal | undefined
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
      request: encodeExec({ args: options.args, filePort: offer?.port }, sessionEnvironment(options, offer)),
      terminal: options.terminal,
      terminalType: options.environment.get('TERM')?.toString() ?? 'dumb',
      escapeCharacter: options.escapeCharacter,
      signal: AbortSignal.any(signals),
    })
  } finally {
    isOver = true
  }
}

/** The user's variables and the protocol's. */
function sessionEnvironment(options: ClientOptions, offer: FileOffer | undefined): Map<string, Buffer> {
  const environment = new Map(options.environment)
  const set = (name: string, text: string) => {
    if (text === '') environment.delete(name)
    else environment.set(name, Buffer.from(text))
  }
  set(FSTAB_VARIABLE, options.fstab)
  set(FSTAB_VARIABLE_FOR_SSHD, options.fstab)
  set(STRICT_VARIABLE, formatStrictness(options.strictness))
  set(NINEP_OPTIONS_VARIABLE, offer === undefined ? '' : formatNinePOptions(options.mountOptions))
  // The Go server wants a nonce also where there are no files.
  const variables = offer?.environment ?? new Map([[NONCE_VARIABLE, createNonce()]])
  for (const [name, value] of variables) set(name, value)
  return environment
}

async function offerFiles(
  client: ssh2.Client,
  options: ClientOptions,
  files: FileService,
): Promise<FileOffer> {
  const { root, readOnly } = options.files!
  options.log(`offering ${root}${readOnly ? ' read-only' : ''}`)
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
  const command = options.args.length === 0 ? '$SHELL' : quoteCommand(options.args).toString()
  return [
    `# on ${formatAddress(options.destination.address)} as ${options.destination.login.username}`,
    ...describeProxy(options.destination),
    options.files === undefined
      ? '# no files are served'
      : `# files served: ${options.files.root}${options.files.readOnly ? ' (read-only)' : ''}`,
    ...problems.map(problem => `# ${problem.message}`),
    formatPlan(steps),
    command,
    '',
  ].join('\n')
}

function describeProxy({ proxy }: Destination): string[] {
  if (proxy === undefined) return []
  if ('command' in proxy) return [`# through ${proxy.command}`]
  const { address, login } = proxy.jump
  return [`# through ${formatAddress(address)} as ${login.username}`, ...describeProxy(proxy.jump)]
}
