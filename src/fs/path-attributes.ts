// Attributes of PathTree's files, read and changed: by a descriptor where the file is open, so that it may have lost
// its name, else by its path. Used by path-tree.ts only.

import fs from 'node:fs'
import { type Failure, failure } from './failure.js'
import type { PathFile, PathNode, PathTable } from './path-nodes.js'
import { attempt, bytes, done, permissionMask, timeOf, toNumber, utimesSeconds } from './path-system.js'
import { type AttributeChange, openFlag } from './tree.js'

const unchangedId = -1

export function statsOf(table: PathTable, node: PathNode): fs.BigIntStats | Failure {
  const [file] = node.files
  if (file !== undefined) return attempt(() => fs.fstatSync(file.fd, { bigint: true }))
  const place = table.find(node)
  return typeof place === 'number' ? place : place.stats
}

/** What `setAttributes` of tree.ts promises. */
export function changeAttributes(
  table: PathTable,
  node: PathNode,
  change: AttributeChange,
  file?: PathFile,
): number {
  const { mode, uid, gid, size } = change
  let result = 0
  if (uid !== undefined || gid !== undefined) result = chown(table, node, uid, gid)
  // After the owner, whose change clears the bits for set-user-id.
  if (result >= 0 && mode !== undefined) result = chmod(table, node, mode & permissionMask)
  if (result >= 0 && size !== undefined) result = truncate(table, node, size, file)
  if (result >= 0) result = setTimes(table, node, change)
  return result
}

/** `byPath` must not follow links. */
function apply(
  table: PathTable,
  node: PathNode,
  byFd: (fd: number) => void,
  byPath: (path: Buffer) => void,
): number {
  const [file] = node.files
  if (file !== undefined) return done(() => byFd(file.fd))
  const place = table.find(node)
  return typeof place === 'number' ? place : done(() => byPath(bytes(place.path || '/')))
}

function chown(table: PathTable, node: PathNode, uid = unchangedId, gid = unchangedId): number {
  return apply(
    table,
    node,
    fd => fs.fchownSync(fd, uid, gid),
    path => fs.lchownSync(path, uid, gid),
  )
}

function chmod(table: PathTable, node: PathNode, mode: number): number {
  if (node.kind === 'symlink') return failure.EOPNOTSUPP
  const byFd = (fd: number) => fs.fchmodSync(fd, mode)
  if (node.files.size === 0 && node.kind !== 'other') {
    const result = opened(table, node, openFlag.read, byFd)
    if (result !== failure.EACCES) return result
  }
  // Open, or what may not be read, or must not be opened: chmod(2) follows links, but find() has just seen none.
  return apply(table, node, byFd, path => fs.chmodSync(path, mode))
}

function truncate(table: PathTable, node: PathNode, size: bigint, file: PathFile | undefined): number {
  if (node.kind !== 'file') return node.kind === 'directory' ? failure.EISDIR : failure.EINVAL
  const length = toNumber(size)
  if (length < 0) return length
  // A file can be open for writing although its mode forbids that by now.
  const writer = file?.isWritable ? file : [...node.files].find(open => open.isWritable)
  if (writer !== undefined) return done(() => fs.ftruncateSync(writer.fd, length))
  return opened(table, node, openFlag.write, fd => fs.ftruncateSync(fd, length))
}

/** Calls with a descriptor that is only for this. */
function opened(table: PathTable, node: PathNode, flags: number, call: (fd: number) => void): number {
  const fd = table.open(node, flags)
  if (fd < 0) return fd
  const result = done(() => call(fd))
  fs.closeSync(fd)
  return result
}

function setTimes(
  table: PathTable,
  node: PathNode,
  { accessTime, modificationTime, size }: AttributeChange,
): number {
  if (accessTime === undefined && modificationTime === undefined) return 0
  const stats = statsOf(table, node)
  if (typeof stats === 'number') return stats
  const atime = utimesSeconds(accessTime ?? timeOf(stats.atimeNs))
  const mtime = utimesSeconds(modificationTime ?? timeOf(stats.mtimeNs))
  const result = apply(
    table,
    node,
    fd => fs.futimesSync(fd, atime, mtime),
    path => fs.lutimesSync(path, atime, mtime),
  )
  // O_TRUNC asks for the size and "modified now", of which only an owner may set the second, and the first has.
  const wasTruncated = size !== undefined && modificationTime === 'now' && accessTime === undefined
  return wasTruncated && (result === failure.EPERM || result === failure.EACCES) ? 0 : result
}
