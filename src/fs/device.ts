// The file systems below an export: a short number for each, so that (device, inode number) fits into 64 bits, and
// what kind of waiting and caching each one asks for. Called by inode-table.ts.

/**
 * memory: reads never wait. synthetic: contents are made up while they are read, size means nothing, and a read or
 * write may do anything. other: reads may wait for a device or a server.
 */
export type DeviceKind = 'memory' | 'synthetic' | 'other'

export interface Device {
  readonly kind: DeviceKind
  /** What fileId() makes ids from. */
  readonly prefix: bigint
  /** How many devices were seen before. */
  readonly index: number
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
  0xf97cff8c, // SELINUX_MAGIC
  0x43415d53, // SMACK_MAGIC
  0x5a3c69f0, // AAFS_MAGIC
  0x65735543, // FUSE_CTL_SUPER_MAGIC
  0x7655821, // RDTGROUP_SUPER_MAGIC
])

const inodeBits = 48n
const firstLongInode = 1n << inodeBits
/** Set in the ids that are scattered, and in no other. */
const scattered = 1n << 63n

/** All devices seen, in the order in which they were seen: the first has prefix 0, its ids are its inode numbers. */
export class DeviceTable {
  readonly #devices = new Map<bigint | number, Device>()

  /** `dev` is what the caller tells devices apart by. */
  known(dev: bigint | number): Device | undefined {
    return this.#devices.get(dev)
  }

  /** `type` is its f_type in statfs(2). */
  add(dev: bigint | number, type: number): Device {
    const kind = memory.has(type) ? 'memory' : synthetic.has(type) ? 'synthetic' : 'other'
    const index = this.#devices.size
    const prefix = BigInt.asUintN(64, BigInt(index) << inodeBits)
    const device = { kind, prefix, index, canNowait: kind === 'other' } as const
    this.#devices.set(dev, device)
    return device
  }
}

/**
 * The same for the same file, always. Different for different ones, but that inode numbers of more than 48 bits,
 * which network and union file systems have, are scattered over 63 bits: two of a million files have the same one
 * with a probability of 1 to 20 million. FileId in addon/files_data.cc does the same for listings.
 */
export function fileId(prefix: bigint, ino: bigint): bigint {
  if (ino < firstLongInode && prefix < scattered) return prefix | ino
  // The finalizer of splitmix64.
  let x = BigInt.asUintN(64, ino + prefix)
  x = BigInt.asUintN(64, (x ^ (x >> 30n)) * 0xbf58476d1ce4e5b9n)
  x = BigInt.asUintN(64, (x ^ (x >> 27n)) * 0x94d049bb133111ebn)
  return scattered | (x ^ (x >> 31n))
}
