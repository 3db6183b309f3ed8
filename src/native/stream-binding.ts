// What addon/stream.cc exports. Results are non-negative, or a negative errno.

/** One descriptor in the event loop. Methods on a closed one do nothing or return -EBADF. */
export interface NativeStream {
  /**
   * Takes over `fd` and makes it non-blocking. `onRead` gets a number of bytes, 0 at the end or a negative
   * errno; `onWritten` and `onShutdown` a status; `onClosed` comes last, once. On failure `fd` is the
   * caller's.
   */
  open(
    fd: number,
    onRead: (result: number) => void,
    onWritten: (status: number) => void,
    onShutdown: (status: number) => void,
    onClosed: () => void,
  ): number
  /** The memory that reads go to until the next call; must be given before readStart. */
  setReadBuffer(buffer: Uint8Array): void
  readStart(): number
  readStop(): void
  /** 0: all written; 1: `onWritten` will be called, and there may be no other write before. */
  write(data: Uint8Array | readonly Uint8Array[]): number
  /** Ends the writing side after the write under way; `onShutdown` will be called. */
  shutdown(): number
  close(): void
  /** Whether the open descriptor keeps the event loop running, as at first it does. */
  keepAlive(alive: boolean): void
}

export interface StreamBinding {
  Stream: new () => NativeStream
  /** `pair` gets two connected AF_UNIX descriptors: the first does not block, the second does. */
  socketPair(pair: Int32Array): number
  /** A descriptor. */
  connectUnix(path: string): number
  /** `pair` gets the end to read from and the end to write to. */
  pipe(pair: Int32Array, readNonblocking: boolean, writeNonblocking: boolean): number
  duplicateFd(fd: number): number
  shutdownFd(fd: number): number
  closeFd(fd: number): number
}
