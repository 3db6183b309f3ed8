// What the parts of an image weigh, told by where its files lie.

import type { CpioFile } from './cpio-list.js'

export interface ImagePart {
  readonly name: string
  readonly files: number
  /** Bytes of content. */
  readonly size: number
}

const S_IFMT = 0o170000
const S_IFREG = 0o100000

/** The first that matches counts. */
const PARTS: readonly (readonly [name: string, pattern: RegExp])[] = [
  ['node', /^cpu-harness\/node$/],
  ['native modules', /\.node$/],
  ['cpud', /^cpu-harness\/.*\.(cjs|blob)$/],
  ['kernel modules', /^lib\/modules\//],
  ['libraries', /\.so(\.|$)/],
  ['other', /^/],
]

/** In the order of their weight. */
export function imageParts(files: readonly CpioFile[]): ImagePart[] {
  const regular = files.filter(({ mode }) => (mode & S_IFMT) === S_IFREG)
  const part = (path: string) => PARTS.find(([, pattern]) => pattern.test(path))![0]
  const parts = PARTS.map(([name]) => {
    const own = regular.filter(({ path }) => part(path) === name)
    return { name, files: own.length, size: own.reduce((sum, { size }) => sum + size, 0) }
  })
  return parts.sort((a, b) => b.size - a.size)
}
