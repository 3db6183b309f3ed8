// The option words of mount(8): which are flags of mount(2), which are for user space, and which go to the file
// system. The table follows mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS".

import {
  MS_BIND,
  MS_DIRSYNC,
  MS_I_VERSION,
  MS_LAZYTIME,
  MS_MANDLOCK,
  MS_MOVE,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_NOSYMFOLLOW,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REC,
  MS_RELATIME,
  MS_REMOUNT,
  MS_SHARED,
  MS_SILENT,
  MS_SLAVE,
  MS_STRICTATIME,
  MS_SYNCHRONOUS,
  MS_UNBINDABLE,
} from '../linux/mount.js'

export interface MountOptions {
  /** `MS_*` bits, without the propagation types. */
  readonly flags: number
  /** Propagation changes in order, each with MS_REC for the `r` kind: mount(2) calls of their own. */
  readonly propagation: readonly number[]
  /** What the file system is to understand, comma-separated. */
  readonly data: string
  /** `noauto`: the line is not for mounting now. */
  readonly noauto: boolean
  /** `nofail`: a failure is nothing to report. */
  readonly nofail: boolean
  /** `X-mount.mkdir=MODE`. */
  readonly mkdirMode: number | undefined
  /** `x-cpu.file`: a mount point that is missing is made as a file. */
  readonly isFile: boolean
  /** `X-mount.subdir=DIR`: what of the file system is mounted, relative to its root. */
  readonly subdirectory: string | undefined
  /** Words that set or clear a flag, last one last: `suid` has been said, or just not denied. */
  readonly flagWords: readonly string[]
  /** Words dropped with a warning. */
  readonly ignored: readonly string[]
  /** Why the line cannot be mounted. */
  readonly error: string | undefined
}

/** What a word sets, and what it clears: the later of two that contradict each other wins. */
type FlagEffect = readonly [set: number, clear: number]

const ATIME_KINDS = MS_NOATIME | MS_RELATIME | MS_STRICTATIME
const FOR_USERS = MS_NOEXEC | MS_NOSUID | MS_NODEV

const FLAG_WORDS: ReadonlyMap<string, FlagEffect> = new Map([
  ['ro', [MS_RDONLY, 0]],
  ['rw', [0, MS_RDONLY]],
  ['nosuid', [MS_NOSUID, 0]],
  ['suid', [0, MS_NOSUID]],
  ['nodev', [MS_NODEV, 0]],
  ['dev', [0, MS_NODEV]],
  ['noexec', [MS_NOEXEC, 0]],
  ['exec', [0, MS_NOEXEC]],
  ['nosymfollow', [MS_NOSYMFOLLOW, 0]],
  ['symfollow', [0, MS_NOSYMFOLLOW]],
  ['sync', [MS_SYNCHRONOUS, 0]],
  ['async', [0, MS_SYNCHRONOUS]],
  ['dirsync', [MS_DIRSYNC, 0]],
  ['mand', [MS_MANDLOCK, 0]],
  ['nomand', [0, MS_MANDLOCK]],
  ['noatime', [MS_NOATIME, ATIME_KINDS]],
  ['atime', [0, MS_NOATIME]],
  ['nodiratime', [MS_NODIRATIME, 0]],
  ['diratime', [0, MS_NODIRATIME]],
  ['relatime', [MS_RELATIME, ATIME_KINDS]],
  ['norelatime', [0, MS_RELATIME]],
  ['strictatime', [MS_STRICTATIME, ATIME_KINDS]],
  ['nostrictatime', [0, MS_STRICTATIME]],
  ['lazytime', [MS_LAZYTIME, 0]],
  ['nolazytime', [0, MS_LAZYTIME]],
  ['iversion', [MS_I_VERSION, 0]],
  ['noiversion', [0, MS_I_VERSION]],
  ['silent', [MS_SILENT, 0]],
  ['loud', [0, MS_SILENT]],
  ['remount', [MS_REMOUNT, 0]],
  ['bind', [MS_BIND, 0]],
  ['rbind', [MS_BIND | MS_REC, 0]],
  ['move', [MS_MOVE, 0]],
  ['user', [FOR_USERS, 0]],
  ['users', [FOR_USERS, 0]],
  ['owner', [MS_NOSUID | MS_NODEV, 0]],
  ['group', [MS_NOSUID | MS_NODEV, 0]],
])

const PROPAGATION_WORDS: ReadonlyMap<string, number> = new Map([
  ['private', MS_PRIVATE],
  ['rprivate', MS_PRIVATE | MS_REC],
  ['shared', MS_SHARED],
  ['rshared', MS_SHARED | MS_REC],
  ['slave', MS_SLAVE],
  ['rslave', MS_SLAVE | MS_REC],
  ['unbindable', MS_UNBINDABLE],
  ['runbindable', MS_UNBINDABLE | MS_REC],
])

/** Words for mount(8), systemd and the boot scripts: they mean nothing for a mount that is made right now. */
const USER_SPACE_WORD =
  /^(defaults|auto|noauto|nofail|_netdev|nouser|nousers|noowner|nogroup|comment|comment=.*|[xX]-.*)$/s

/** Ours; to others, as all of `x-`, nothing. */
export const FILE_OPTION = 'x-cpu.file'

/** Words that have a meaning whatever the file system: for "did you mean". */
export const KNOWN_WORDS: readonly string[] = [
  ...FLAG_WORDS.keys(),
  ...PROPAGATION_WORDS.keys(),
  'defaults',
  'auto',
  'noauto',
  'nofail',
  '_netdev',
]

/** Splits field 4 of a line. Every word is understood: what is not in the tables goes to `data` as it is. */
export function parseMountOptions(options: string): MountOptions {
  const words = splitWords(options)
  let flags = 0
  for (const word of words) {
    const [set, clear] = FLAG_WORDS.get(word) ?? [0, 0]
    flags = (flags & ~clear) | set
  }
  const mkdir = lastValue(words, /^[xX]-mount\.mkdir=(.*)$/)
  return {
    flags: flags >>> 0,
    propagation: words.flatMap(word => PROPAGATION_WORDS.get(word) ?? []),
    data: words.filter(isForFileSystem).join(','),
    noauto: words.lastIndexOf('noauto') > words.lastIndexOf('auto'),
    nofail: words.includes('nofail'),
    mkdirMode: mkdir === undefined ? undefined : Number.parseInt(mkdir, 8),
    isFile: words.includes(FILE_OPTION),
    subdirectory: lastValue(words, /^X-mount\.subdir=(.*)$/s),
    flagWords: words.filter(word => FLAG_WORDS.has(word)),
    ignored: words.filter(
      word => word.startsWith('X-mount.') && !/^X-mount\.(mkdir|mkdir=.*|subdir=.*)$/s.test(word),
    ),
    error: refusal(words, mkdir),
  }
}

/** At commas, but not within double quotes (SELinux contexts have commas). */
function splitWords(options: string): string[] {
  return options.match(/(?:"[^"]*"|[^,])+/g) ?? []
}

function isForFileSystem(word: string): boolean {
  return !FLAG_WORDS.has(word) && !PROPAGATION_WORDS.has(word) && !USER_SPACE_WORD.test(word)
}

/** The last value of an option of the form `name=value`. */
function lastValue(words: readonly string[], pattern: RegExp): string | undefined {
  return words.flatMap(word => pattern.exec(word)?.[1] ?? []).at(-1)
}

function refusal(words: readonly string[], mkdir: string | undefined): string | undefined {
  if (words.some(word => /^loop(=|$)/.test(word)))
    return 'option "loop" is not supported: no loop devices are set up here (run losetup and name its device)'
  if (mkdir !== undefined && !/^[0-7]{1,4}$/.test(mkdir))
    return `X-mount.mkdir=${mkdir}: not an octal mode (such as 0755)`
  return undefined
}

/** Flags as the words that set them, for people to read; the reverse of the table. */
export function formatMountFlags(flags: number): string[] {
  const words: string[] = []
  let rest = flags & ~(MS_BIND | MS_REC | MS_MOVE)
  for (const [word, [set]] of FLAG_WORDS) {
    if (set === 0 || (rest & set) !== set) continue
    words.push(word)
    rest &= ~set
  }
  return words
}
