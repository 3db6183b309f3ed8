// Flags, environment and ssh_config -> everything the client needs to know.
import path from 'node:path'
import type { CPU_FLAGS } from '../cli/cpu-flags.js'
import type { ParsedFlags } from '../cli/flags.js'
import { UsageError } from '../errors.js'
import { NAMESPACE_VARIABLE } from '../namespace/parse-namespace.js'
import { FSTAB_VARIABLE } from '../ssh/exec-request.js'
import { resolveDestination } from './destination.js'
import { chooseVariables } from './environment.js'
import { fileSettings } from './file-settings.js'
import { namespaceSettings } from './namespace-settings.js'
import { rawArguments, rawEnvironment } from './raw-arguments.js'
import { openReports, say } from './reports.js'
import type { ClientOptions } from './run.js'
import { parseServeAddress, type ServeFilesOptions } from './serve.js'

type Flags = ParsedFlags<typeof CPU_FLAGS>

/**
 * Works out the options of one `cpu` command, whose environment is `inherited` if not this process's. Throws UsageError,
 * and CpuError for files that cannot be used.
 */
export function clientOptions(flags: Flags, inherited = rawEnvironment()): ClientOptions {
  const { values, operands } = flags
  const [operand, ...command] = operands
  if (operand === undefined) throw new UsageError('no host is given', 'for example: cpu -net vsock 3 date')
  const { user, host } = splitUser(operand)
  const { destination, config } = resolveDestination(
    {
      name: host,
      user: values.user ?? user,
      port: values.sp,
      net: values.net,
      keyFile: values.key,
      useKey: values.useKey,
      hostKeyFile: values.hk,
      timeoutMs: values.timeout,
    },
    say,
  )
  const { protocols, cachePolicy, mountOptions } = fileSettings(values)
  const hasFiles = protocols.length > 0
  const setEnv = new Map(config.setEnv)
  const reports = openReports(values)
  const { fstab, workingDirectory, shown } = namespaceSettings(
    values,
    hasFiles,
    inherited.get(FSTAB_VARIABLE)?.toString() ?? '',
    setEnv.get(NAMESPACE_VARIABLE),
    reports.log,
  )
  const environment = chooseVariables(inherited, values.env)
  setEnv.delete(NAMESPACE_VARIABLE)
  for (const [name, value] of setEnv) environment.set(name, Buffer.from(value))
  // The parent's PWD may be stale, and a logical one may lead through links that are not served.
  environment.set('PWD', Buffer.from(workingDirectory))
  return {
    destination,
    files: hasFiles
      ? {
          root: path.resolve(values.root),
          readOnly: values.ro,
          shown,
          protocols,
          cachePolicy,
          direct: values.direct && destination.proxy === undefined,
          timeoutMs: values.timeout9p,
          trace: reports.files,
        }
      : undefined,
    mountOptions,
    fstab,
    workingDirectory,
    strictness: { fstab: values['fstab-strict'], directory: values.cd !== undefined },
    environment,
    args: rawArguments(command),
    terminal: wantsTerminal(values.tty, command),
    escapeCharacter: config.escapeChar === 'none' ? undefined : (config.escapeChar ?? '~'),
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    log: reports.log,
    debug: reports.ssh,
  }
}

/** Works out the options of `cpu -srv`. Throws UsageError. */
export function serveOptions({ values, operands }: Flags): Omit<ServeFilesOptions, 'signal'> {
  if (operands.length > 0)
    throw new UsageError(`-srv serves files alone, and ${operands[0]} is a host`, 'leave one of them out')
  const reports = openReports(values)
  return {
    address: parseServeAddress(values.srv ?? ''),
    root: path.resolve(values.root),
    readOnly: values.ro,
    open: values['srv-open'],
    log: reports.log,
    trace: reports.files,
  }
}

/** `user@host`; an `@` behind a slash is of a path. */
function splitUser(operand: string): { user: string | undefined; host: string } {
  const [, user, host = operand] = /^([^/]+)@(.+)$/s.exec(operand) ?? []
  return { user, host }
}

function wantsTerminal(tty: 'auto' | 'force' | 'no' | string, command: readonly string[]): boolean {
  if (tty !== 'auto') return tty === 'force'
  return process.stdin.isTTY === true && (process.stdout.isTTY === true || command.length === 0)
}
