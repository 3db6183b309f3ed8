// A command in a machine by the client, as `cpu NAME COMMAND` runs it.

import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { CPU_FLAGS } from '../../src/cli/cpu-flags.js'
import { parseFlags } from '../../src/cli/flags.js'
import type { ClientOptions } from '../../src/client/run.js'
import { runtimeDirectory } from '../../src/runtime-directory.js'
import type { ProgramEnd } from '../../src/ssh/program-end.js'
import { readState } from '../machine-directory.js'

export interface SessionFlags {
  readonly namespace: string | undefined
  readonly fstab: string | undefined
  readonly v: boolean
}

/** What a machine gets of this one's files unless that is said: none where it has a root of its own, as all is there. */
export function filesByDefault(machine: string): string[] {
  const state = readState(join(runtimeDirectory(), machine))
  return state?.root === undefined ? [] : ['-files=none']
}

/** Without a command, a shell. Throws UsageError, and CpuError when it cannot be told how the command ended. */
export async function runSessionIn(
  machine: string,
  { namespace, fstab, v }: SessionFlags,
  command: readonly string[],
  options: Partial<ClientOptions>,
): Promise<ProgramEnd> {
  const flags = [
    ...(namespace === undefined ? filesByDefault(machine) : [`-namespace=${namespace}`]),
    ...(fstab === undefined ? [] : [`-fstab=${fstab}`]),
    ...(v ? ['-v'] : []),
  ]
  return runWithFlags(flags, machine, command, options)
}

/** The same by flags of cpu(1); with these variables, if not this process's. */
export async function runWithFlags(
  flags: readonly string[],
  machine: string,
  command: readonly string[],
  options: Partial<ClientOptions>,
  environment?: Map<string, Buffer>,
): Promise<ProgramEnd> {
  const { runProgram, clientOptions } = await client()
  const parsed = parseFlags(CPU_FLAGS, [...flags, machine, ...command])
  return runProgram({ ...clientOptions(parsed, environment), ...options })
}

/** No guest has it: what runs a command is what matters. */
const REHEARSAL = '/cpu-harness/rehearsal'

/** A session that sees nothing of this machine, an empty tree and no variables, and leaves nothing behind. */
export async function rehearseSession(machine: string, signal: AbortSignal): Promise<void> {
  const { runProgram, clientOptions } = await client()
  const options = clientOptions(parseFlags(CPU_FLAGS, ['-ro', machine, REHEARSAL]))
  const nobody = () => new Writable({ write: (_chunk, _encoding, done) => done() })
  await runProgram({
    ...options,
    files: options.files && { ...options.files, shown: [] },
    args: [Buffer.from(REHEARSAL)],
    environment: new Map(),
    fstab: '',
    workingDirectory: '/',
    terminal: false,
    stdin: Readable.from([]),
    stdout: nobody(),
    stderr: nobody(),
    signal,
  })
}

/** Throws UsageError for flags that cannot be used: before a machine is booted for nothing. */
export async function checkSessionFlags({ namespace, fstab }: SessionFlags): Promise<void> {
  const { parseNamespace, readText } = await client()
  parseNamespace(namespace)
  if (fstab !== undefined) readText(fstab, '-fstab')
}

/** Loaded when it is needed, since most commands do without. */
async function client() {
  const { runProgram } = await import('../../src/client/run.js')
  const { clientOptions } = await import('../../src/client/settings.js')
  const { readText } = await import('../../src/client/destination.js')
  const { parseNamespace } = await import('../../src/namespace/parse-namespace.js')
  return { runProgram, clientOptions, readText, parseNamespace }
}
