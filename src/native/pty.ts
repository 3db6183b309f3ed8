// Pseudo-terminals for sessions that want one: pty(7), termios(3), RFC 4254 section 8 (encoded terminal
// modes). Called by cpud.

import { binding, check } from './binding.js'
import { closeFd, FdStream } from './fd-stream.js'

export interface PtySize {
  rows: number
  columns: number
  /** Size in pixels, where the terminal knows it. */
  xpixels?: number
  ypixels?: number
}

export interface Pty {
  /** Ends when the last descriptor of the slave is closed. Closed by its owner. */
  master: FdStream
  /**
   * Close-on-exec and blocking, for the child; closed by the caller. It is nobody's controlling terminal yet.
   */
  slaveFd: number
  /** The slave's name, such as /dev/pts/3. */
  slavePath: string
}

/** Opens a new pseudo-terminal. Throws a SystemError (ENOSPC: no more of them; ENOENT: no /dev/ptmx). */
export function openPty(size: PtySize): Pty {
  const out = new Int32Array(3)
  const { rows, columns, xpixels = 0, ypixels = 0 } = size
  check(binding.openPty(out, rows, columns, xpixels, ypixels), 'open', '/dev/ptmx')
  const [masterFd, slaveFd, number] = [out[0]!, out[1]!, out[2]!]
  const slavePath = `/dev/pts/${number}`
  try {
    return { master: new FdStream(masterFd, { peer: slavePath }), slaveFd, slavePath }
  } catch (error) {
    closeFd(masterFd)
    closeFd(slaveFd)
    throw error
  }
}

/**
 * Sets the size in characters and, where known, pixels; the programs in the foreground get SIGWINCH. Does
 * nothing once the master is closed.
 */
export function resizePty(master: FdStream, rows: number, columns: number, xpixels = 0, ypixels = 0): void {
  if (master.fd === undefined) return
  check(binding.resizePty(master.fd, rows, columns, xpixels, ypixels), 'ioctl TIOCSWINSZ', 'pty')
}

/** Where a mode is: the index of a flag word and its bits, or the index of a control character. */
type Place = { word: 0 | 1 | 2 | 3; bits: number; value?: number } | { character: number }

const input = (bits: number): Place => ({ word: 0, bits })
const output = (bits: number): Place => ({ word: 1, bits })
const control = (bits: number, value = bits): Place => ({ word: 2, bits, value })
const local = (bits: number): Place => ({ word: 3, bits })
const character = (index: number): Place => ({ character: index })

/** Names of RFC 4254 section 8, with the places of include/uapi/asm-generic/termbits.h. */
const places: Readonly<Record<string, Place>> = {
  VINTR: character(0),
  VQUIT: character(1),
  VERASE: character(2),
  VKILL: character(3),
  VEOF: character(4),
  VSTART: character(8),
  VSTOP: character(9),
  VSUSP: character(10),
  VEOL: character(11),
  VREPRINT: character(12),
  VDISCARD: character(13),
  VWERASE: character(14),
  VLNEXT: character(15),
  VEOL2: character(16),
  IGNPAR: input(0o4),
  PARMRK: input(0o10),
  INPCK: input(0o20),
  ISTRIP: input(0o40),
  INLCR: input(0o100),
  IGNCR: input(0o200),
  ICRNL: input(0o400),
  IUCLC: input(0o1000),
  IXON: input(0o2000),
  IXANY: input(0o4000),
  IXOFF: input(0o10000),
  IMAXBEL: input(0o20000),
  IUTF8: input(0o40000),
  OPOST: output(0o1),
  OLCUC: output(0o2),
  ONLCR: output(0o4),
  OCRNL: output(0o10),
  ONOCR: output(0o20),
  ONLRET: output(0o40),
  // CSIZE is a field of two bits.
  CS7: control(0o60, 0o40),
  CS8: control(0o60, 0o60),
  PARENB: control(0o400),
  PARODD: control(0o1000),
  ISIG: local(0o1),
  ICANON: local(0o2),
  XCASE: local(0o4),
  ECHO: local(0o10),
  ECHOE: local(0o20),
  ECHOK: local(0o40),
  ECHONL: local(0o100),
  NOFLSH: local(0o200),
  TOSTOP: local(0o400),
  ECHOCTL: local(0o1000),
  ECHOKE: local(0o4000),
  PENDIN: local(0o40000),
  IEXTEN: local(0o100000),
}

const firstCharacter = 4
const attributeCount = firstCharacter + 32
/** The value by which RFC 4254 says that there is no such character; Linux writes 0 (_POSIX_VDISABLE). */
const noCharacter = 255

/**
 * Applies the modes of an SSH pty-req, named as in RFC 4254 (ECHO, VINTR ...), to either end of a pty. Names
 * that Linux does not have, and speeds, are passed over.
 */
export function setTerminalModes(fd: number, modes: Readonly<Record<string, number>>): void {
  const attributes = new Uint32Array(attributeCount)
  check(binding.getTerminalAttributes(fd, attributes), 'tcgetattr', `descriptor ${fd}`)
  for (const [name, value] of Object.entries(modes)) {
    if (!Object.hasOwn(places, name)) continue
    applyMode(attributes, places[name]!, value)
  }
  check(binding.setTerminalAttributes(fd, attributes), 'tcsetattr', `descriptor ${fd}`)
}

function applyMode(attributes: Uint32Array, place: Place, value: number): void {
  if ('character' in place) {
    attributes[firstCharacter + place.character] = value === noCharacter ? 0 : value
    return
  }
  const { word, bits, value: set = bits } = place
  // One of several values of a field cannot be switched off, only be replaced by another.
  if (value === 0 && set !== bits) return
  attributes[word] = (attributes[word]! & ~bits) | (value === 0 ? 0 : set)
}

/** Reads the settings of the terminal `fd`; the function that comes back sets them again. Throws a SystemError. */
export function saveTerminal(fd: number): () => void {
  const attributes = new Uint32Array(attributeCount)
  check(binding.getTerminalAttributes(fd, attributes), 'tcgetattr', `descriptor ${fd}`)
  return () => {
    check(binding.setTerminalAttributes(fd, attributes), 'tcsetattr', `descriptor ${fd}`)
  }
}
