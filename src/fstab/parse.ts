// Reads fstab(5): text to entries. Fields 4 to 6 are optional, as the manual has it; octal escapes are decoded.

import type { FstabEntry, FstabProblem } from './entry.js'

export interface ParsedFstab {
  readonly entries: FstabEntry[]
  readonly problems: FstabProblem[]
}

/**
 * `#line 1 fstab`, as in C: the next line is line 1 of `fstab`. For everybody else it is a comment. It keeps a
 * user's line numbers true where lines have been put before the user's own.
 */
const LINE_MARKER = /^#line (\d+) ([\w./-]+)$/

/** Every line by itself: one that is wrong is a problem, and the others are read all the same. */
export function parseFstab(text: string, name = 'fstab'): ParsedFstab {
  const entries: FstabEntry[] = []
  const problems: FstabProblem[] = []
  let place = { name, line: 0 }
  for (const raw of text.split('\n')) {
    const line = raw.replace(/\r$/, '').replace(/^[ \t]+|[ \t]+$/g, '')
    place.line++
    const marker = LINE_MARKER.exec(line)
    if (marker !== null) place = { name: marker[2]!, line: Number(marker[1]) - 1 }
    if (line === '' || line.startsWith('#')) continue
    const origin = `${place.name}:${place.line}`
    const parsed = parseLine(line, origin)
    if (typeof parsed === 'string') problems.push({ severity: 'error', message: `${origin}: ${parsed}` })
    else entries.push(parsed)
  }
  return { entries, problems }
}

/** The entry, or what is wrong with the line. */
function parseLine(line: string, origin: string): FstabEntry | string {
  const raw = line.split(/[ \t]+/)
  if (raw.slice(3).some(field => field.startsWith('#'))) return 'a comment needs a line of its own'
  if (raw.length < 3) return `too few fields: ${raw.length} of at least 3 (source, mount point, type)`
  if (raw.length > 6)
    return `too many fields: ${raw.length} of at most 6 (a space in a name is written \\040)`
  const fields: string[] = []
  for (const field of raw) {
    const decoded = decodeField(field)
    if (decoded === undefined)
      return `bad escape in ${JSON.stringify(field)} (three octal digits, such as \\040)`
    fields.push(decoded)
  }
  const [source, target, type, options = 'defaults', freq = '0', passno = '0'] = fields
  if (!/^\d+$/.test(freq)) return `field 5 (dump frequency) is not a number: ${JSON.stringify(freq)}`
  if (!/^\d+$/.test(passno)) return `field 6 (fsck pass) is not a number: ${JSON.stringify(passno)}`
  return {
    source: source!,
    target: target!,
    type: type!,
    options,
    freq: Number(freq),
    passno: Number(passno),
    origin,
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Undoes `\ooo`. A backslash before anything but a digit stands for itself, as in libmount: overlayfs has escapes
 * of its own (`\:`). Undefined for fewer than three octal digits, for NUL, and for bytes that are not UTF-8.
 */
function decodeField(field: string): string | undefined {
  if (!field.includes('\\')) return field
  if (/\\(?![0-3][0-7]{2})\d/.test(field) || field.includes('\\000')) return undefined
  // each escape is one byte of the UTF-8 text, so a letter may be made of several
  const bytes = Buffer.from(field)
    .toString('latin1')
    .replace(/\\([0-3][0-7]{2})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
  try {
    return utf8.decode(Buffer.from(bytes, 'latin1'))
  } catch {
    return undefined
  }
}
