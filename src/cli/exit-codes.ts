// Exit codes of the commands. Everything else is the remote program's own code, exactly.

/** The command line cannot be understood. */
export const EXIT_USAGE = 2
/** The launcher itself failed, as opposed to the command it ran. */
export const EXIT_HARNESS = 125
/** The remote command exists but cannot be executed, as in sh. */
export const EXIT_NOT_EXECUTABLE = 126
/** The remote command does not exist, as in sh. */
export const EXIT_NOT_FOUND = 127
/** The connection could not be made, or broke. */
export const EXIT_CONNECTION = 255

/** Exit code of a program that signal number `signal` ended, as in sh. */
export function signalExitCode(signal: number): number {
  return 128 + signal
}
