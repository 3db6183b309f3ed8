// What a program says of a command in a machine, and what it gets of it: the types of `Machine.run` and `Machine.spawn`.

import type { Readable, Writable } from 'node:stream'
import type { CommandOutput } from './command-error.js'
import type { FailOn, KernelLog } from './result.js'

export interface SpawnOptions {
  /** Absolute path of the directory to start in, or one relative to the current one. By default that one itself. */
  readonly cwd?: string | undefined
  /** The command's variables, instead of this process's. */
  readonly env?: NodeJS.ProcessEnv | undefined
  /**
   * How this machine's files get there: by FUSE where the guest can, else 9P (`auto`), by one of them, or not at all.
   * Default `auto`; for a machine with a `root` `none`, unless there is a `namespace`.
   */
  readonly files?: 'auto' | 'fuse' | '9p' | 'none' | undefined
  /** Whether they cannot be changed from there. Default false. */
  readonly readOnly?: boolean | undefined
  /**
   * Which of them are bound over the guest's: `DIR` or `REMOTE=LOCAL`, separated by colons; with `+` in front, besides
   * the default, which is `/lib:/lib64:/usr:/bin:/etc:/home`; `none`: none, they are below /tmp/cpu alone.
   */
  readonly namespace?: string | undefined
  /** Lines of fstab(5) to mount there for the command. By default those in `CPU_FSTAB` of its variables. */
  readonly fstab?: string | undefined
  /** Whether a line of it that fails ends the command, which then ends with 255. Default false: it is told on stderr. */
  readonly fstabStrict?: boolean | undefined
  /** Whether the command gets a terminal, 80 x 24, to which stderr goes too. Default false. */
  readonly tty?: boolean | undefined
  /** What the command reads; without it, what is written to `stdin`, or with `run` nothing. Its error ends the command. */
  readonly stdin?: string | Uint8Array | Readable | undefined
  /** For the command, from the call on, in milliseconds. By default none. */
  readonly timeoutMs?: number | undefined
  /** Which words of the guest's kernel are a failure of a command that succeeds. Default: an oops, no warning. */
  readonly failOn?: Partial<FailOn> | undefined
  /** Whether an exit code other than 0, and a signal, are an error too, ERR_CPU_VM_COMMAND_FAILED. Default false. */
  readonly reject?: boolean | undefined
  /** Ends the command and everything that it has started; the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

export interface RunOptions<Encoding extends BufferEncoding | 'buffer' = BufferEncoding | 'buffer'>
  extends SpawnOptions {
  /** Of the output; `buffer` for bytes as they are. Default `utf8`. */
  readonly encoding?: Encoding | undefined
}

export type BufferOptions = RunOptions<'buffer'> & { readonly encoding: 'buffer' }

/** How a command ended by itself. */
export interface CommandEnd {
  /** 128+n where signal n ended it; 126 where it cannot be executed, 127 where it does not exist. */
  readonly exitCode: number
  /** What ended it, where that was a signal. */
  readonly signal: NodeJS.Signals | undefined
  /** What the guest's kernel logged meanwhile. */
  readonly kernelLog: KernelLog
}

/** `stdout` and `stderr` are whole, however long: what may be longer than memory is for `spawn`. */
export interface CommandResult<Text extends string | Buffer> extends CommandEnd, CommandOutput<Text> {}

/** A command that runs. */
export interface MachineCommand {
  readonly stdin: Writable
  /** Ends when the command's does. Who does not read it holds the command up; who destroys it ends it by SIGPIPE. */
  readonly stdout: Readable
  readonly stderr: Readable
  /** Rejects as `run` does. Nothing happens to a program that does not look. */
  readonly ended: Promise<CommandEnd>
  /** Sends a signal to the command's process group, also before it has started; SIGTERM by default. */
  kill(signal?: NodeJS.Signals): void
}
