// Types of addon/spawn.cc, and the numbers of addon/supervisor.h.

/** A step in the supervisor's form: strings as bytes without NUL, numbers for names. */
export interface NativeStep {
  /** 0 mount, 1 mkdir, 2 touch. */
  readonly op: number
  /** 0 abort, 1 report, 2 ignore. */
  readonly onFailure: number
  readonly source: Buffer
  readonly target: Buffer
  readonly type: Buffer
  readonly data: Buffer
  readonly flags: number
  readonly mode: number
  /** Index of the step to go on with if this one fails. */
  readonly next: number
  /** Whether its data name the file connection. */
  readonly mountsConnection: boolean
}

export interface NativeSpawnRequest {
  readonly steps: readonly NativeStep[]
  readonly mountNamespace: boolean
  readonly userNamespace: boolean
  /** A device that is opened in place of `fileConnectionFd`, which keeps the number until then; empty for none. */
  readonly fuseDevice: Buffer
  /** -1 for none. */
  readonly fileConnectionFd: number
  /** At least one argument. */
  readonly argv: readonly Buffer[]
  readonly executables: readonly Buffer[]
  readonly env: readonly Buffer[]
  readonly workingDirectories: readonly Buffer[]
  readonly stdio: readonly [number, number, number]
  readonly controllingTerminal: boolean
  readonly credentials:
    | { readonly uid: number; readonly gid: number; readonly groups: readonly number[] }
    | undefined
  /** Empty for none. */
  readonly syncPath: Buffer
}

/** Functions of addon/spawn.cc. Each returns a negative errno when it fails. */
export interface SpawnBinding {
  /** Forks the supervisor and returns its process id; `result[0]` becomes the control socket. */
  spawnSupervisor(request: NativeSpawnRequest, result: Int32Array): number
  /**
   * Fills `result` (kind, value, index, error, and the descriptor that came along or -1) and returns the bytes of the
   * message; 0 at the end of the connection. The descriptor is the caller's.
   */
  receiveMessage(control: number, result: Int32Array): number
  sendMessage(control: number, kind: number, value: number): number
  /** pidfd_open(2). */
  openPidfd(pid: number): number
  /** Returns `pid` when the process has ended and is reaped now, 0 while it lives. */
  reapProcess(pid: number): number
  /** A child that has ended and is still to be reaped; 0 when there is none. */
  endedChild(): number
  /** Calls back while `fd` is readable or hung up, until the returned function is called. */
  watchReadable(fd: number, callback: () => void): number | (() => void)
}

/** `enum Stage`, in its order. */
export const stages = [
  'setup',
  'namespace',
  'fork',
  'step',
  'terminal',
  'credentials',
  'chdir',
  'exec',
  'user-namespace',
  'fuse',
] as const

/** `enum Kind`: what the supervisor says, and what is said to it. */
export const messageKind = {
  stepFailed: 1,
  started: 2,
  failed: 3,
  exited: 4,
  leftover: 5,
  unshared: 6,
  fuseMounted: 7,
  end: 16,
  signal: 17,
  mapped: 18,
} as const
