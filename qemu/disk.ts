// A file of this machine's that is a disk of the guest's: `-disk FILE[:ro][,snapshot][,format=raw|qcow2]`.

import { UsageError } from '../src/errors.js'

const FORMATS = ['raw', 'qcow2'] as const

export interface Disk {
  /** An image, or a block device. */
  readonly hostPath: string
  readonly format: (typeof FORMATS)[number]
  readonly readOnly: boolean
  /** What the guest writes is gone with it. */
  readonly snapshot: boolean
}

/**
 * Throws UsageError. What a file is goes by its name unless it is said: its content may have been written by a
 * guest, who could make a raw disk name other files of ours by the header of a qcow2.
 */
export function parseDisk(text: string): Disk {
  const match = /^(.+?)(:ro)?((?:,snapshot|,format=\w+)*)$/s.exec(text)
  if (match === null || match[1]!.startsWith(','))
    throw new UsageError(`invalid disk ${JSON.stringify(text)}`, 'write -disk FILE[:ro][,snapshot]')
  const [, hostPath = '', readOnly, options = ''] = match
  const named = /,format=(\w+)/.exec(options)?.[1]
  const format = FORMATS.find(known => known === (named ?? (hostPath.endsWith('.qcow2') ? 'qcow2' : 'raw')))
  if (format === undefined)
    throw new UsageError(`unknown format ${named} of disk ${hostPath}`, `one of ${FORMATS.join(', ')}`)
  return { hostPath, format, readOnly: readOnly !== undefined, snapshot: options.includes(',snapshot') }
}
