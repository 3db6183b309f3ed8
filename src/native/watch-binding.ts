/** Functions of addon/watch.cc. Results are non-negative, or a negative errno. */
export interface WatchBinding {
  /** A descriptor that becomes readable when something changed. */
  watchOpen(): number
  /** Watches the directory of a descriptor; the bytes of `key`, by which changes name it. */
  watchAdd(watch: number, directory: number, key: Uint8Array): number
  watchRemove(watch: number, directory: number): number
  /**
   * Records of what other processes did: mask4 keylength2 namelength2 key name; their bytes, 0 if all was our own
   * doing, -EAGAIN when there is nothing more. `into` has 64 KiB.
   */
  watchRead(watch: number, into: Uint8Array): number
}
