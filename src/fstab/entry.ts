// What a line of fstab(5) says, and what is wrong with one. Parsed by parse.ts, written by format.ts, turned
// into steps of a plan by compile.ts.

/** One line's six fields, decoded. */
export interface FstabEntry {
  /** `fs_spec`: a device, a tag such as `UUID=...`, a directory to bind, or a name that means nothing. */
  readonly source: string
  /** `fs_file`: the mount point, or `none`. */
  readonly target: string
  /** `fs_vfstype`. */
  readonly type: string
  /** `fs_mntops`, comma-separated as written. */
  readonly options: string
  /** `fs_freq`, for dump(8). */
  readonly freq: number
  /** `fs_passno`, for fsck(8). */
  readonly passno: number
  /** Where it stands: `fstab:7`. */
  readonly origin: string
}

/** Something to tell the user. After an error the line has no effect; after a warning it has. */
export interface FstabProblem {
  readonly severity: 'error' | 'warning'
  /** With its place in front: `fstab:7: too few fields ...`. */
  readonly message: string
}
