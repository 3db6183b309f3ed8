/** What lookUpUser finds. */
export interface NativeUser {
  uid: number
  gid: number
  home: string
  shell: string
  groups: number[]
}

/** Functions of addon/system.cc. Each returns 0, a descriptor, or a negative errno; IPv4 addresses are numbers, host byte order. */
export interface SystemBinding {
  /** finit_module(2). */
  loadModule(fd: number, parameters: string, flags: number): number
  /** reboot(2), by `LINUX_REBOOT_CMD_*`. */
  reboot(command: number): number
  /** sync(2). */
  sync(): number
  /** _exit(2). */
  exitNow(code: number): void
  /** getpwnam_r(3), getgrouplist(3); 0 for nobody of that name. */
  lookUpUser(name: string): NativeUser | number
  setHostname(name: string): number
  /** SIOCSIFADDR. */
  setInterfaceAddress(name: string, address: number): number
  /** SIOCSIFNETMASK. */
  setInterfaceNetmask(name: string, mask: number): number
  /** SIOCSIFFLAGS with IFF_UP. */
  setInterfaceUp(name: string): number
  /** SIOCADDRT. */
  addDefaultRoute(gateway: number): number
  /** A UDP socket with SO_BROADCAST, SO_BINDTODEVICE, bound to a port: its descriptor. */
  broadcastSocket(name: string, port: number): number
  /** clock_settime(2), in milliseconds since 1970. */
  setClock(milliseconds: number): number
  /** RNDADDENTROPY and RNDRESEEDCRNG of random(4), by a descriptor of it. */
  reseedKernel(fd: number, seed: Uint8Array): number
  /** RAND_seed(3) of the OpenSSL that is in this process; ENOSYS where none is found. */
  reseedOpenSsl(seed: Uint8Array): number
  /** lseek(2) with SEEK_END; returns the offset. */
  seekToEnd(fd: number): number
  /** cfmakeraw(3), tcsetattr(3). */
  makeRaw(fd: number): number
}
