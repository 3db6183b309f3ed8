// The file systems below an export: a short number for each, so that (device, inode number) fits into 64 bits, and
// what kind of waiting and caching each one asks for. Called by inode-table.ts.

/**
 * memory: reads never wait. synthetic: contents are made up while they are read, size means nothing, and a read or
 * write may do anything. other: reads may wait for a device or a server.
 */
export type DeviceKind = 'memory' | 'synthetic' | 'other'

export interface Device {
  readonly kind: DeviceKind
  /** To be or-ed with an inode number of up to 48 bits. */
  readonly prefix: bigint
  /** Whether reads can be asked not to wait (RWF_NOWAIT); false once the file system refused that. */
  canNowait: boolean
}

// f_type of statfs(2), from linux/magic.h.
const memory = new Set([0x01021994, 0x858458f6]) // TMPFS_MAGIC, RAMFS_MAGIC
const synthetic = new Set([
  0x9fa0, // PROC_SUPER_MAGIC
  0x62656572, // SYSFS_MAGIC
  0x64626720, // DEBUGFS_MAGIC
  0x74726163, // TRACEFS_MAGIC
  0x73636673, // SECURITYFS_MAGIC
  0x27e0eb, // CGROUP_SUPER_MAGIC
  0x63677270, // CGROUP2_SUPER_MAGIC
  0x62656570, // configfs
  0xcafe4a11, // BPF_FS_MAGIC
  0x6165676c, // PSTOREFS_MAGIC
  0xde5e81e4, // EFIVARFS_MAGIC
  0x42494e4d, // BINFMTFS_MAGIC
])

const inodeBits = 48n
const inodeLimit = 1n << inodeBits
/** Prefix of the numbers that are given out to inode numbers of more than 48 bits. */
const overflowPrefix = 0xffffn << inodeBits

/** All devices seen, in the order in which they were seen: the first has prefix 0, its ids are its inode numbers. */
export class DeviceTable {
  readonly #devices = new Map<bigint, Device>()
  readonly #overflow = new Map<bigint, Map<bigint, bigint>>()
  #overflowCount = 0n

  known(dev: bigint): Device | undefined {
    return this.#devices.get(dev)
  }

  /** `type` is its f_type in statfs(2). */
  add(dev: bigint, type: number): Device {
    const kind = memory.has(type) ? 'memory' : synthetic.has(type) ? 'synthetic' : 'other'
    const prefix = BigInt(this.#devices.size) << inodeBits
    const device = { kind, prefix, canNowait: kind === 'other' } as const
    this.#devices.set(dev, device)
    return device
  }

  /** The same for the same file, different for different ones. */
  id(dev: bigint, ino: bigint, device: Device): bigint {
    if (ino < inodeLimit && device.prefix < overflowPrefix) return device.prefix | ino
    const numbers = this.#overflow.get(dev) ?? new Map<bigint, bigint>()
    this.#overflow.set(dev, numbers)
    const id = numbers.get(ino) ?? overflowPrefix | this.#overflowCount++
    numbers.set(ino, id)
    return id
  }
}
