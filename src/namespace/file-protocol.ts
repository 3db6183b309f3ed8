/** The protocols by which a machine can mount the client's files, best first. */
export const FILE_PROTOCOLS = ['fuse', '9p'] as const

export type FileProtocol = (typeof FILE_PROTOCOLS)[number]
