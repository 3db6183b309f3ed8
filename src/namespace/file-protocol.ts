/** The protocols by which a machine can mount the client's files, best first. */
export const FILE_PROTOCOLS = ['fuse', '9p'] as const

export type FileProtocol = (typeof FILE_PROTOCOLS)[number]

/**
 * What may be on its way by vsock that nobody has read yet: a message of the largest size, and what follows it. With
 * the kernel's 256 KiB its sender would be put to sleep several times in each.
 */
export const FILE_BUFFER_BYTES = 2 * 1024 * 1024
