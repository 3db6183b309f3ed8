// What PID 1 makes of the machine before it serves, whoever says it: a launcher's file, or the kernel's command line.

import type { GuestRoot } from './guest-config.js'

/** Of one interface. */
export interface Ipv4Settings {
  readonly address: string
  /** Prefix length, 0 to 32. */
  readonly prefix: number
  readonly gateway?: string
  readonly nameservers?: readonly string[]
}

export interface BootNetwork {
  /** The first Ethernet interface there is, unless named. */
  readonly interface?: string
  readonly ipv4: Ipv4Settings | 'dhcp'
}

export interface BootConfig {
  readonly hostname?: string
  /** In this order: absolute paths, or names, for which modules.dep is asked. */
  readonly modules: readonly string[]
  readonly network?: BootNetwork
  /** A serial line for readiness and requests, such as `/dev/ttyS1`. */
  readonly control?: string
  /** Instead of the initramfs. */
  readonly root?: GuestRoot
}
