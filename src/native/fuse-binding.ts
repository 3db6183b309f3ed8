/** Passes messages between /dev/fuse and a stream socket, on threads of its own. */
export interface NativeFusePump {
  /**
   * Owns both descriptors from then on, unless the result is a negative errno. `onEnd`: the file system is gone, or
   * the stream ended, in which case whoever waits for files got ENOTCONN; both descriptors are closed. `onClosed`
   * comes last, once.
   */
  open(fuseFd: number, streamFd: number, onEnd: () => void, onClosed: () => void): number
  close(): void
}

/** What addon/fuse.cc exports. */
export interface FuseBinding {
  FusePump: new () => NativeFusePump
}
