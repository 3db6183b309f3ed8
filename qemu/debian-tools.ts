// Runs apt and dpkg commands for debian-kernel.ts and debian-backports.ts, and makes their failures errors of ours.

import { execa } from 'execa'
import { CpuError } from '../src/errors.js'

export interface ToolOptions {
  readonly signal?: AbortSignal | undefined
  /** One line at a time. */
  readonly onProgress?: ((line: string) => void) | undefined
}

export interface Outcome {
  readonly failed: boolean
  readonly stdout: string
  readonly stderr: string
}

export const DOWNLOAD_LIMIT_MS = 15 * 60_000
export const COMMAND_LIMIT_MS = 120_000

/** Runs a command of Debian's; a missing one is an error, any other failure is for the caller to judge. */
export async function runTool(
  command: string,
  args: readonly string[],
  timeoutMs: number,
  { signal }: ToolOptions,
  directory?: string,
): Promise<Outcome> {
  signal?.throwIfAborted()
  const result = await execa(command, args, {
    stdin: 'ignore',
    reject: false,
    timeout: timeoutMs,
    env: { LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
    ...(signal === undefined ? {} : { cancelSignal: signal }),
    ...(directory === undefined ? {} : { cwd: directory }),
  })
  signal?.throwIfAborted()
  if (result.failed && result.code === 'ENOENT') {
    throw new CpuError(
      'ERR_CPU_VM_KERNEL_FETCH',
      `no ${command} on this machine, which kernels are fetched with`,
      {
        remedy: 'on a system that is not Debian, name a kernel of your own with -kernel FILE',
      },
    )
  }
  return result
}

/** ERR_CPU_VM_KERNEL_FETCH, with the last error that apt told. */
export function fetchError(message: string, result: Outcome | undefined, remedy?: string): CpuError {
  const said = (result?.stderr ?? '')
    .split('\n')
    .filter(line => line.startsWith('E:'))
    .at(-1)
  return new CpuError(
    'ERR_CPU_VM_KERNEL_FETCH',
    said === undefined ? message : `${message} (${said.slice(3)})`,
    {
      cause: result,
      remedy:
        remedy ?? 'check the network and run apt-get update, or name a kernel of your own with -kernel FILE',
    },
  )
}
