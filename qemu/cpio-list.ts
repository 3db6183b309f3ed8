// Reads which files are in cpio archives in the "newc" format, one behind the other as cpio.ts and image.ts write them.

import { type FileHandle, open } from 'node:fs/promises'

export interface CpioFile {
  /** Without a slash at its start. */
  readonly path: string
  /** With the file's type, as in stat(2). */
  readonly mode: number
  readonly size: number
}

const HEADER_SIZE = 110
const MAGIC = '070701'
const TRAILER = 'TRAILER!!!'

/** The files of an initramfs; of several with one path the last, which is what the kernel unpacks. */
export async function listCpio(path: string): Promise<CpioFile[]> {
  const file = await open(path)
  try {
    const files = new Map<string, CpioFile>()
    for await (const entry of entries(file)) files.set(entry.path, entry)
    return [...files.values()]
  } finally {
    await file.close()
  }
}

async function* entries(file: FileHandle): AsyncGenerator<CpioFile> {
  let position = 0
  for (;;) {
    const header = await readText(file, position, HEADER_SIZE)
    if (header.length < HEADER_SIZE) return
    if (!header.startsWith(MAGIC)) {
      // Between two archives there is padding.
      position += 4
      continue
    }
    const numbers = header.slice(MAGIC.length).match(/.{8}/g)!
    const [, mode = 0, , , , , size = 0, , , , , nameSize = 0] = numbers.map(digits =>
      Number.parseInt(digits, 16),
    )
    const name = await readText(file, position + HEADER_SIZE, nameSize - 1)
    position = align4(align4(position + HEADER_SIZE + nameSize) + size)
    if (name !== TRAILER) yield { path: name, mode, size }
  }
}

async function readText(file: FileHandle, position: number, length: number): Promise<string> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position)
  return buffer.toString('utf8', 0, bytesRead)
}

function align4(position: number): number {
  return Math.ceil(position / 4) * 4
}
