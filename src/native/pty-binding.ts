// What addon/pty.cc exports. Results are 0, or a negative errno.

export interface PtyBinding {
  /** `out` gets master, slave and the slave's number in /dev/pts. */
  openPty(out: Int32Array, rows: number, columns: number, xPixels: number, yPixels: number): number
  resizePty(fd: number, rows: number, columns: number, xPixels: number, yPixels: number): number
  /** `attributes` gets iflag, oflag, cflag, lflag, then the 32 control characters. */
  getTerminalAttributes(fd: number, attributes: Uint32Array): number
  setTerminalAttributes(fd: number, attributes: Uint32Array): number
}
