// A command line as one string and back: what an `exec` request carries (`'ls' '-l' 'it'"'"'s'`), split again by
// the rules of a shell. Bytes, not text: an argument need not be UTF-8.

import { CpuError } from '../errors.js'

const SPACE = 0x20
const TAB = 0x09
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const SINGLE_QUOTE = 0x27
const DOUBLE_QUOTE = 0x22
const BACKSLASH = 0x5c
/** What a backslash takes the meaning from within double quotes; before anything else it stands for itself. */
const ESCAPABLE = new Set(Buffer.from('"\\$`'))

/** Each argument in single quotes, a quote inside as `'"'"'`, separated by spaces. */
export function quoteCommand(args: readonly Buffer[]): Buffer {
  // latin1 maps every byte to one character and back
  return Buffer.from(args.map(arg => quoteSingle(arg.toString('latin1'))).join(' '), 'latin1')
}

/** One word for people and shells to read: quoted only where it must be. */
export function quoteWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : quoteSingle(word)
}

/** A command line for people and shells to read. */
export function quoteLine(words: readonly string[]): string {
  return words.map(quoteWord).join(' ')
}

function quoteSingle(text: string): string {
  return `'${text.replaceAll("'", `'"'"'`)}'`
}

/**
 * Words separated by blanks and line feeds; single quotes, double quotes (backslash before `"`, `\`, `$` and the
 * backquote) and backslashes as in a shell. Nothing else is special: no variables, comments or patterns.
 * Throws CpuError ERR_CPU_COMMAND_SYNTAX, with the place, for a quote without an end or a backslash at the end.
 */
export function splitCommand(command: string | Buffer): Buffer[] {
  const bytes = typeof command === 'string' ? Buffer.from(command) : command
  const words: Buffer[] = []
  let word: number[] | undefined
  let index = 0
  while (index < bytes.length) {
    const byte = bytes[index]!
    if (isBlank(byte)) {
      if (word !== undefined) words.push(Buffer.from(word))
      word = undefined
      index++
      continue
    }
    word ??= []
    if (byte === SINGLE_QUOTE) index = readSingleQuoted(bytes, index, word)
    else if (byte === DOUBLE_QUOTE) index = readDoubleQuoted(bytes, index, word)
    else if (byte === BACKSLASH) {
      const next = bytes[index + 1]
      if (next === undefined) throw syntaxError('backslash before nothing', index)
      word.push(next)
      index += 2
    } else {
      word.push(byte)
      index++
    }
  }
  if (word !== undefined) words.push(Buffer.from(word))
  return words
}

function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB || byte === LINE_FEED || byte === CARRIAGE_RETURN
}

/** Both readers append what is between the quotes to `word` and return the index after the closing one. */
function readSingleQuoted(bytes: Buffer, start: number, word: number[]): number {
  const end = bytes.indexOf(SINGLE_QUOTE, start + 1)
  if (end < 0) throw syntaxError('single quote without an end', start)
  for (let index = start + 1; index < end; index++) word.push(bytes[index]!)
  return end + 1
}

function readDoubleQuoted(bytes: Buffer, start: number, word: number[]): number {
  for (let index = start + 1; index < bytes.length; index++) {
    let byte = bytes[index]!
    if (byte === DOUBLE_QUOTE) return index + 1
    const next = bytes[index + 1]
    if (byte === BACKSLASH && next !== undefined && ESCAPABLE.has(next)) {
      byte = next
      index++
    }
    word.push(byte)
  }
  throw syntaxError('double quote without an end', start)
}

function syntaxError(fact: string, index: number): CpuError {
  return new CpuError('ERR_CPU_COMMAND_SYNTAX', `cannot split the command: ${fact}, byte ${index + 1}`)
}
