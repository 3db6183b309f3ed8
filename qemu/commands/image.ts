// cpu-vm image: a guest's file system, built, looked into, or written for a machine that needs no launcher.

import { statSync } from 'node:fs'
import { dirname } from 'node:path'
import { UsageError } from '../../src/errors.js'
import { writeBoardImage } from '../board-image.js'
import { authorizedKeys, hostKey } from '../board-keys.js'
import { type CpioFile, listCpio } from '../cpio-list.js'
import { IMAGE_FLAGS } from '../flags.js'
import { baseImage } from '../image.js'
import { imageParts } from '../image-parts.js'
import type { Kernel } from '../kernel.js'
import { findKernel } from '../kernel-search.js'
import { command, type Flags, refuseOperands } from './command.js'
import { print, printJson, say, table } from './output.js'

const FOR_BOARDS = ['keys', 'hk', 'hostname', 'module'] as const
const HOSTNAME = /^[a-z\d](?:[a-z\d.-]{0,61}[a-z\d])?$/i

export const image = command('image', IMAGE_FLAGS, async (flags, signal) => {
  refuseOperands(flags)
  const { values, given } = flags
  const unused = values.o === undefined ? FOR_BOARDS.find(name => given.has(name)) : undefined
  if (unused !== undefined) throw new UsageError(`-${unused} is for an image of your own`, 'add -o FILE')
  const kernel = await findKernel(values)
  if (values.o === undefined)
    return show(flags, kernel, { path: await baseImage({ kernel, signal, onProgress: say }) })
  return show(flags, kernel, { path: values.o, hostKey: await writeBoard(values, values.o, kernel, signal) })
})

/** Returns the host's public key. */
async function writeBoard(
  { keys, hk, hostname, module }: Flags<typeof IMAGE_FLAGS>['values'],
  target: string,
  kernel: Kernel,
  signal: AbortSignal,
): Promise<string> {
  if (statSync(dirname(target), { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new UsageError(`no such directory: ${dirname(target)} (-o)`)
  if (statSync(target, { throwIfNoEntry: false })?.isFile() === false)
    throw new UsageError(`${target} is there, and is no file (-o)`)
  if (hostname !== undefined && !HOSTNAME.test(hostname))
    throw new UsageError(`${JSON.stringify(hostname)} is no name of a machine (-hostname)`)
  const authorized = authorizedKeys(keys, say)
  const pair = hostKey(hk, hostname ?? 'cpud')
  await writeBoardImage({
    kernel,
    target,
    authorizedKeys: authorized,
    hostKey: pair.private,
    hostname,
    modules: module,
    signal,
    onProgress: say,
  })
  return pair.public
}

interface Image {
  readonly path: string
  /** Of an image of one's own. */
  readonly hostKey?: string
}

async function show(
  { values }: Flags<typeof IMAGE_FLAGS>,
  { release, image: kernel }: Kernel,
  { path, hostKey }: Image,
): Promise<number> {
  const files = await listCpio(path)
  const { size } = statSync(path)
  const parts = imageParts(files)
  if (values.json) {
    const listed = values.list ? { files: files.map(file => ({ ...file, path: `/${file.path}` })) } : {}
    return printJson({
      path,
      size,
      kernel: { release, image: kernel },
      hostKey: hostKey ?? null,
      parts,
      ...listed,
    })
  }
  if (values.list) return print(files.map(line).join(''))
  const key = hostKey === undefined ? [] : [['host key', hostKey]]
  const head = [['image', path], ['kernel', release], ...key]
  const inAll = parts.reduce((sum, part) => sum + part.files, 0)
  const rows = [...parts, { name: 'in all', files: inAll, size }]
  const weights = rows.map(part => [part.name, String(part.files), mebibytes(part.size)])
  return print(`${table(head)}\n${table([['PART', 'FILES', 'MIB'], ...weights])}`)
}

/** As `ls -l` has the mode. */
function line({ path, mode, size }: CpioFile): string {
  const type = { 4: 'd', 9: 'l', 2: 'c' }[mode >> 12] ?? '-'
  const bits = [...'rwxrwxrwx'].map((letter, index) => ((mode >> (8 - index)) & 1 ? letter : '-')).join('')
  return `${type}${bits} ${String(size).padStart(10)} /${path}\n`
}

function mebibytes(size: number): string {
  return (size / 2 ** 20).toFixed(1).padStart(6)
}
