// What PathTree (path-tree.ts) asks of node:fs, in the numbers of Linux: results as negative errnos, flags of
// open(2), and the records of tree.ts. node:fs answers with names and numbers of the local system instead.

import fs from 'node:fs'
import { errnoNumber } from '../linux/errno.js'
import { type Failure, failure } from './failure.js'
import { type ByteString, directoryRecordPrefix, openFlag, statfsRecordSize, type Time } from './tree.js'

export const modeTypeMask = 0o170000
export const permissionMask = 0o7777
const modeRegular = 0o100000
/** V9FS_MAGIC, linux/magic.h: a type of the local system would mean another one to Linux. */
const v9fsMagic = 0x01021997
const maxName = 255
const second = 1_000_000_000n

/** Errnos that libuv has no name for, by their numbers on macOS (sys/errno.h); on Linux they are right as they are. */
const unnamed: Readonly<Record<number, string>> =
  process.platform === 'linux' ? {} : { 69: 'EDQUOT', 70: 'ESTALE', 102: 'EOPNOTSUPP' }

/** The failure that an error of node:fs stands for; throws what is none. */
export function failureOf(error: unknown): Failure {
  const { code = '', errno } = error as NodeJS.ErrnoException
  // Numbers and bytes that node:fs itself refuses, as the system call would.
  if (code === 'ERR_OUT_OF_RANGE' || code === 'ERR_INVALID_ARG_VALUE') return failure.EINVAL
  if (errno === undefined) throw error
  const number = errnoNumber(code) ?? errnoNumber(unnamed[-errno] ?? '')
  if (number !== undefined) return -number
  return process.platform === 'linux' ? errno : failure.EIO
}

/** The result of a call of node:fs, or how it failed. */
export function attempt<T>(call: () => T): T | Failure {
  try {
    return call()
  } catch (error) {
    return failureOf(error)
  }
}

/** The same for a call that has no result: 0. */
export function done(call: () => void): number {
  try {
    call()
    return 0
  } catch (error) {
    return failureOf(error)
  }
}

/** A byte string as node:fs takes it: strings would be encoded as UTF-8. */
export function bytes(path: ByteString): Buffer {
  return Buffer.from(path, 'latin1')
}

/** 0 for a single component of a path, otherwise what is wrong with it. */
export function checkName(name: ByteString): number {
  if (name === '') return failure.ENOENT
  if (name.length > maxName) return failure.ENAMETOOLONG
  return name === '.' || name === '..' || /[/\0]/.test(name) ? failure.EINVAL : 0
}

/** What the path itself is, links not followed. */
export function status(path: ByteString): fs.BigIntStats | Failure {
  return attempt(() => fs.lstatSync(bytes(path), { bigint: true, throwIfNoEntry: false }) ?? failure.ENOENT)
}

const tooLarge = -27 // EFBIG

/** A size or offset as node:fs takes it, or a failure. */
export function toNumber(value: bigint): number {
  if (value >> 63n !== 0n) return failure.EINVAL
  return value > Number.MAX_SAFE_INTEGER ? tooLarge : Number(value)
}

type Constants = Pick<
  typeof fs.constants,
  | 'O_RDONLY'
  | 'O_WRONLY'
  | 'O_RDWR'
  | 'O_APPEND'
  | 'O_SYNC'
  | 'O_DSYNC'
  | 'O_NOFOLLOW'
  | 'O_NONBLOCK'
  | 'O_NOCTTY'
>

/** sys/fcntl.h of macOS: no symbolic link in any component. It fails with ELOOP; other systems have no such flag. */
const O_NOFOLLOW_ANY = 0x20000000

/**
 * The flags of the local system for bits of `openFlag`, truncation excepted, which has to wait until it is known
 * what was opened. Nothing is followed or waited for, and no terminal becomes this process's own.
 */
export function systemFlags(
  flags: number,
  constants: Constants = fs.constants,
  platform: NodeJS.Platform = process.platform,
): number {
  const access = flags & openFlag.accessMask
  const has = (flag: number, system: number) => ((flags & flag) === flag ? system : 0)
  return (
    (access === openFlag.write ? constants.O_WRONLY : 0) |
    (access === openFlag.readWrite ? constants.O_RDWR : 0) |
    (access === openFlag.read ? constants.O_RDONLY : 0) |
    has(openFlag.append, constants.O_APPEND) |
    has(openFlag.dataSync, constants.O_DSYNC) |
    has(openFlag.sync, constants.O_SYNC) |
    (platform === 'darwin' ? O_NOFOLLOW_ANY : 0) |
    constants.O_NOFOLLOW |
    constants.O_NONBLOCK |
    constants.O_NOCTTY
  )
}

/** Writes an attribute record; 1 when the time of birth is known, else 0. */
export function putAttributes(stats: fs.BigIntStats, into: Uint8Array, at: number): number {
  const view = new DataView(into.buffer, into.byteOffset + at)
  view.setUint32(0, Number(stats.mode), true)
  view.setUint32(4, Number(BigInt.asUintN(32, stats.uid)), true)
  view.setUint32(8, Number(BigInt.asUintN(32, stats.gid)), true)
  const { atimeNs, mtimeNs, ctimeNs, birthtimeNs } = stats
  const times = [atimeNs, mtimeNs, ctimeNs, birthtimeNs].flatMap(ns => [floorSeconds(ns), nanoseconds(ns)])
  const fields = [stats.nlink, linuxDevice(stats.rdev), stats.size, stats.blksize, stats.blocks, ...times]
  for (const [i, value] of [...fields, 0n, 0n].entries()) view.setBigUint64(12 + 8 * i, value, true)
  return birthtimeNs === 0n ? 0 : 1
}

const nanoseconds = (ns: bigint) => ((ns % second) + second) % second
const floorSeconds = (ns: bigint) => (ns - nanoseconds(ns)) / second

export function timeOf(ns: bigint): Time {
  return { seconds: Number(floorSeconds(ns)), nanoseconds: Number(nanoseconds(ns)) }
}

/**
 * A time as node:fs takes it: as a number it would not be before 1970. libuv cuts it to microseconds; the half of one
 * keeps what has no exact number from being cut to the one before.
 */
export function utimesSeconds(time: Time | 'now'): string {
  if (time === 'now') return String(Date.now() / 1000)
  const microseconds = time.seconds * 1e6 + Math.floor(time.nanoseconds / 1000)
  return String((microseconds + (microseconds < 0 ? -0.5 : 0.5)) / 1e6)
}

/** A device number in 32 bits, as Linux writes it for protocols (new_encode_dev in linux/kdev_t.h). */
function linuxDevice(rdev: bigint): bigint {
  if (process.platform !== 'darwin') return BigInt.asUintN(32, rdev)
  // sys/types.h of macOS: 8 bits of major, 24 of minor number.
  const minor = rdev & 0xffffffn
  return (minor & 0xffn) | (((rdev >> 24n) & 0xffn) << 8n) | ((minor & ~0xffn) << 12n)
}

/** Writes a statfs record; 0. */
export function putStatfs(stats: fs.BigIntStatsFs, into: Uint8Array, at: number): number {
  const view = new DataView(into.buffer, into.byteOffset + at, statfsRecordSize)
  view.setUint32(0, v9fsMagic, true)
  view.setUint32(4, Number(stats.bsize), true)
  const { blocks, bfree, bavail, files, ffree } = stats
  for (const [i, value] of [blocks, bfree, bavail, files, ffree, 0n].entries()) {
    view.setBigUint64(8 + 8 * i, value, true)
  }
  view.setUint32(56, maxName, true)
  return 0
}

/** Writes a directory record for a file of that mode. */
export function putDirectoryRecord(
  { id, mode, name }: { id: bigint; mode: number; name: ByteString },
  cookie: number,
  into: Uint8Array,
  at: number,
): void {
  const view = new DataView(into.buffer, into.byteOffset + at)
  const type = mode & modeTypeMask
  const directoryType = type >> 12 // DT_* of dirent.h are the type bits of a mode, here as there
  view.setUint8(0, directoryType === 4 ? 0x80 : directoryType === 10 ? 0x02 : 0)
  view.setUint32(1, type === modeRegular ? 1 : 0, true)
  view.setBigUint64(5, id, true)
  view.setBigUint64(13, BigInt(cookie), true)
  view.setUint8(21, directoryType)
  view.setUint16(22, name.length, true)
  into.set(bytes(name), at + directoryRecordPrefix)
}
