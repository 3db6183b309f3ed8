// Starts QEMU and virtiofsd: in a session of their own, so that a Ctrl-C on the terminal reaches us alone, their
// words in a log file. With us or without us they end: either killed when we die, or left to run on purpose.

import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { CpuError } from '../src/errors.js'
import { ARCHITECTURES, platforms, qemuProgram } from './architecture.js'
import { identifyProcess, type ProcessIdentity } from './process-identity.js'

export interface DaemonOptions {
  readonly command: string
  readonly args: readonly string[]
  readonly logFile: string
  /** What the process gets as descriptor 0; by default /dev/null. */
  readonly stdin?: number | undefined
  /** What the process gets as descriptors 3, 4 and so on. */
  readonly descriptors?: readonly number[] | undefined
  /** Goes on when this process ends. */
  readonly detached: boolean
}

export interface Daemon {
  readonly identity: ProcessIdentity
  /** Resolves when the process has ended, to its code or signal. */
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
}

const SETPRIV = '/usr/bin/setpriv'

/** Throws CpuError ERR_CPU_VM_SPAWN when it cannot be started. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { command, args } = tied(options)
  const log = openSync(options.logFile, 'a', 0o600)
  try {
    const stdio: StdioOptions = [options.stdin ?? 'ignore', log, log, ...(options.descriptors ?? [])]
    const child = spawn(command, args, { detached: true, stdio })
    const ended = childEnd(child)
    await started(child, options.command)
    const identity = identifyProcess(child.pid!) ?? { pid: child.pid!, startTime: 'ended' }
    if (options.detached) child.unref()
    return { identity, ended }
  } finally {
    closeSync(log)
  }
}

/** The last line in a log file that says something, and does not match `except`. */
export function lastLine(file: string, except?: RegExp): string | undefined {
  if (!existsSync(file)) return undefined
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.filter(line => line.trim() !== '' && except?.test(line) !== true).at(-1)
}

/** PR_SET_PDEATHSIG survives execve, so setpriv(1) can set it for anything; where it is missing we do without. */
function tied({ command, args, detached }: DaemonOptions): { command: string; args: readonly string[] } {
  if (detached || !existsSync(SETPRIV)) return { command, args }
  return { command: SETPRIV, args: ['--pdeathsig', 'KILL', '--', command, ...args] }
}

async function started(child: ChildProcess, command: string): Promise<void> {
  try {
    await once(child, 'spawn')
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    const guest = ARCHITECTURES.find(name => qemuProgram(name) === command)
    throw new CpuError(
      'ERR_CPU_VM_SPAWN',
      missing ? `no ${command} on this machine` : `cannot start ${command}`,
      {
        cause: error,
        remedy: guest && `apt-get install ${platforms[guest].qemuPackage}`,
      },
    )
  }
}

function childEnd(child: ChildProcess): Daemon['ended'] {
  return new Promise(resolve => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
    child.once('error', () => resolve({ code: null, signal: null }))
  })
}
