// Undoes the compressions that kernels and their modules come in. Node has gzip; the others are left to their
// own commands.

import { gunzipSync } from 'node:zlib'
import { execa } from 'execa'
import { CpuError } from '../src/errors.js'

interface Format {
  readonly name: string
  readonly magic: readonly number[]
  /** Undefined: done here. */
  readonly command?: readonly [string, ...string[]]
}

const FORMATS: readonly Format[] = [
  { name: 'gzip', magic: [0x1f, 0x8b] },
  { name: 'xz', magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a], command: ['xz', '-dc'] },
  { name: 'zstd', magic: [0x28, 0xb5, 0x2f, 0xfd], command: ['zstd', '-dcq'] },
  { name: 'lz4', magic: [0x02, 0x21, 0x4c, 0x18], command: ['lz4', '-dcq'] },
  { name: 'bzip2', magic: [0x42, 0x5a, 0x68], command: ['bzip2', '-dc'] },
]

const MAX_SIZE = 1 << 30

/**
 * The content of `data`, which comes back as it is when it is in no known format. `subject` is named in errors:
 * CpuError ERR_CPU_VM_DECOMPRESS.
 */
export async function decompress(data: Buffer, subject: string): Promise<Buffer> {
  const format = FORMATS.find(({ magic }) => magic.every((byte, index) => data[index] === byte))
  if (format === undefined) return data
  if (format.command === undefined) return gunzipSync(data)
  const [command, ...args] = format.command
  const result = await execa(command, args, {
    input: data,
    encoding: 'buffer',
    maxBuffer: MAX_SIZE,
    reject: false,
    timeout: 60_000,
  })
  if (!result.failed) return Buffer.from(result.stdout.buffer, result.stdout.byteOffset, result.stdout.length)
  throw new CpuError('ERR_CPU_VM_DECOMPRESS', `cannot decompress ${subject} (${format.name})`, {
    cause: result,
    remedy: `install the ${command} command, or check the file`,
  })
}
