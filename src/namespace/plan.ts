// A session's plan: what is done between fork and execve, as pure data, in order. It is computed here in
// TypeScript, printed by `-dry-run`, and walked by addon/supervisor.cc without further decisions.

/**
 * What happens when a step fails: the session ends (`abort`), or the session goes on and the failure is said
 * (`report`) or not (`ignore`). Where it goes on, the steps that follow with the same `origin` are skipped: a
 * read-only remount after a bind that failed would change whatever is mounted there already.
 */
export type OnFailure = 'abort' | 'report' | 'ignore'

/** `mount(2)`. `data` may contain `%9P%`, replaced by the descriptor number of the file connection. */
export interface MountStep {
  readonly op: 'mount'
  /** Until block/resolve.ts has seen it also a tag such as `UUID=...`. */
  readonly source: string
  readonly target: string
  /** File system type; empty for bind, remount and propagation changes; so far also `auto` or `ext4,xfs`. */
  readonly type: string
  /** `MS_*` bits of `linux/mount.h`, as an unsigned 32-bit number. */
  readonly flags: number
  readonly data: string
  readonly onFailure: OnFailure
  /** For messages: where the step comes from, such as `fstab:7`. */
  readonly origin: string
}

/** Creates a directory and its missing parents; what exists already, be it a file, is left as it is. */
export interface MkdirStep {
  readonly op: 'mkdir'
  readonly path: string
  readonly mode: number
  readonly onFailure: OnFailure
  readonly origin: string
}

/** Creates an empty file (mount point of a bind of a file), parents included. */
export interface TouchStep {
  readonly op: 'touch'
  readonly path: string
  readonly onFailure: OnFailure
  readonly origin: string
}

export type Step = MountStep | MkdirStep | TouchStep

/** Replaced in mount data by the descriptor number of the file connection. */
export const FILE_DESCRIPTOR_PLACEHOLDER = '%9P%'

/** Where a session has the files of whoever started it. */
export const MOUNT_ROOT = '/tmp/cpu'
