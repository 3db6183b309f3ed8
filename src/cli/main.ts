// Where every command starts and ends: one line on stderr for any failure, the right exit code, and an exit
// only when what was written has left the process.

import { CpuError, UsageError } from '../errors.js'
import { EXIT_USAGE } from './exit-codes.js'

/**
 * Runs a command with the process's arguments and ends the process with the code it resolves to: EXIT_USAGE for a
 * UsageError, `failureExit` for anything else that is thrown, then or later. CPU_HARNESS_DEBUG=1 adds the stack.
 * A reader of stdout that has gone away is no failure; whoever produces output should look for it.
 */
export async function runMain(
  name: string,
  main: (argv: string[]) => Promise<number>,
  failureExit = 1,
): Promise<never> {
  const fail = (error: unknown): number => {
    process.stderr.write(`${name}: ${describeError(error)}\n`)
    if (process.env['CPU_HARNESS_DEBUG'] === '1' && error instanceof Error)
      process.stderr.write(`${error.stack}\n`)
    return error instanceof UsageError ? EXIT_USAGE : failureExit
  }
  process.on('uncaughtException', error => void exitFlushed(fail(error)))
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') void exitFlushed(fail(error))
  })
  process.stderr.on('error', () => {}) // there is nowhere left to say it
  return exitFlushed(await main(process.argv.slice(2)).catch(fail))
}

/** An error in one line: its message, and the remedy in brackets where it has one. */
export function describeError(error: unknown): string {
  const message = error instanceof Error && error.message !== '' ? error.message : String(error)
  const remedy = error instanceof CpuError ? error.remedy : undefined
  return oneLine(remedy === undefined ? message : `${message} (${remedy})`)
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*[\r\n]+\s*/g, ' ')
}

/** Exits rather than waits for an empty event loop: an open stdin must not keep a finished command alive. */
async function exitFlushed(code: number): Promise<never> {
  process.exitCode = code
  await Promise.all([flushed(process.stdout), flushed(process.stderr)])
  process.exit(code)
}

/** Resolves when all that was written before has left, or never can. */
function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise(resolve => {
    if (stream.destroyed || stream.writableEnded) resolve()
    else stream.write('', () => resolve())
  })
}
