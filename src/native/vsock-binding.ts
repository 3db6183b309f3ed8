// What addon/vsock.cc exports. Results are non-negative, or a negative errno.

/** Readiness of one descriptor, which it owns until release(). */
export interface NativePoll {
  /**
   * `onReady` is called while it is started; `onClosed` comes last, once. On failure `fd` is the caller's.
   */
  open(fd: number, onReady: (status: number) => void, onClosed: () => void): number
  start(writable: boolean): number
  stop(): void
  /** Closes the handle and returns the descriptor, open. */
  release(): number
  /** Closes handle and descriptor. */
  close(): void
  keepAlive(alive: boolean): void
}

export interface VsockBinding {
  Poll: new () => NativePoll
  /** A descriptor that is readable while epollTake has something to tell. */
  epollCreate(): number
  /** EPOLLET: changes of `fd` are told once each, and its present state at first. */
  epollAddEdges(epoll: number, fd: number): number
  /** Events (`EPOLLIN`, `EPOLLHUP` ...) that have not been told, 0 for none. */
  epollTake(epoll: number): number
  /**
   * A descriptor that becomes writable when it is decided whether it connects. 0 ms: the kernel's limit, 2 s.
   * 0 bytes: its buffer, 256 KiB.
   */
  vsockConnect(cid: number, port: number, timeoutMs: number, bufferBytes: number): number
  vsockConnectResult(fd: number): number
  vsockListen(cid: number, port: number, backlog: number, bufferBytes: number): number
  /** A connected descriptor, or -EAGAIN. */
  vsockAccept(fd: number): number
  /** `address` gets CID and port. */
  vsockAddress(fd: number, peer: boolean, address: Uint32Array): number
  /** VHOST_VSOCK_SET_GUEST_CID (linux/vhost.h), on a descriptor of /dev/vhost-vsock. */
  vhostSetGuestCid(fd: number, cid: number): number
  /** VMADDR_CID_ANY where there is no transport. */
  vsockLocalCid(): number
}
