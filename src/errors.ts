// The base of every error this project throws on purpose. docs/errors.md lists all codes, held to the
// code by test/errors.test.ts.

/** A failure with a stable `code` (`ERR_CPU_<AREA>_<WHAT>`), a one-line message and, where there is one, a remedy. */
export class CpuError extends Error {
  override readonly name: string = 'CpuError'
  readonly code: string
  /** What the user can do, one line without a full stop; shown after the message. */
  readonly remedy: string | undefined

  constructor(code: string, message: string, options: { cause?: unknown; remedy?: string | undefined } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.remedy = options.remedy
  }
}

/** A command line that cannot be understood: exit code 2. */
export class UsageError extends CpuError {
  override readonly name = 'UsageError'

  constructor(message: string, remedy?: string) {
    super('ERR_CPU_USAGE', message, { remedy })
  }
}

/** A system call that failed, in Node's shape; the message names its subject. */
export class SystemError extends Error {
  override readonly name = 'SystemError'
  /** Errno name, such as `ENODEV`. */
  readonly code: string
  /** Negative errno, as in Node. */
  readonly errno: number
  readonly syscall: string

  constructor(code: string, errno: number, description: string, syscall: string, subject: string) {
    super(`${code}: ${description}, ${syscall}${subject === '' ? '' : ` ${subject}`}`)
    this.code = code
    this.errno = errno
    this.syscall = syscall
  }
}
