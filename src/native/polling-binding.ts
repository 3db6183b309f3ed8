// What addon/polling.cc exports.

/** One reason for the event loop of this thread not to sleep. */
export interface NativePolling {
  /** From now on for so long the loop looks for events again and again, whatever was asked before. */
  start(microseconds: number): void
  /** Lets it sleep; whether that time was not over, and no other thread was in need of the processor. */
  stop(): boolean
  /** To be called once, at the end. */
  close(): void
}

export interface PollingBinding {
  Polling: new () => NativePolling
}
