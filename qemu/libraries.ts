// Which shared libraries a program needs, its dynamic loader included: ldd(1) knows.

import { execa } from 'execa'
import { CpuError } from '../src/errors.js'

/** Absolute paths as the loader finds them, for all `files` together. Throws CpuError ERR_CPU_VM_LIBRARIES. */
export async function sharedLibraries(files: readonly string[]): Promise<string[]> {
  const found = await Promise.all(files.map(librariesOf))
  return [...new Set(found.flat())]
}

async function librariesOf(file: string): Promise<string[]> {
  const result = await execa('ldd', [file], { reject: false, timeout: 30_000, env: { LC_ALL: 'C' } })
  if (`${result.stdout}${result.stderr}`.includes('not a dynamic executable')) return []
  const missing = /^\s*(\S+) => not found/m.exec(result.stdout)?.[1]
  if (!result.failed && missing === undefined) return parseLdd(result.stdout)
  throw new CpuError('ERR_CPU_VM_LIBRARIES', `${missing ?? 'ldd'} fails for ${file}`, {
    cause: result,
    remedy: missing === undefined ? 'install ldd (package libc-bin)' : `install the library ${missing}`,
  })
}

/** `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x...)` and, for the loader, `/lib64/ld-linux-x86-64.so.2 (0x...)`. */
export function parseLdd(output: string): string[] {
  return [...output.matchAll(/^\s*(?:\S+ => )?(\/\S+) \(0x/gm)].map(match => match[1]!)
}
