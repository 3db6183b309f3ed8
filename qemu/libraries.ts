// Which shared libraries programs need, the dynamic loader included: ldd(1) knows.

import { execa } from 'execa'
import { CpuError } from '../src/errors.js'

/** Absolute paths as the loader finds them, for all `files` together. Throws CpuError ERR_CPU_VM_LIBRARIES. */
export async function sharedLibraries(files: readonly string[]): Promise<string[]> {
  const result = await execa('ldd', files, { reject: false, timeout: 30_000, env: { LC_ALL: 'C' } })
  const { stdout = '', stderr = '' } = result
  const missing = /^\s*(\S+) => not found/m.exec(stdout)?.[1]
  // It fails for static ones too, and says so; of others it says what is wrong.
  const onlyStatic = stderr.includes('not a dynamic executable') && !/^ldd: (?!warning: )/m.test(stderr)
  const isComplete = !result.failed || onlyStatic
  if (isComplete && missing === undefined) return [...new Set(parseLdd(stdout))]
  const names = files.join(', ')
  const [fact, remedy] =
    missing === undefined
      ? [`ldd fails for ${names}`, 'install ldd (package libc-bin)']
      : [`${missing} is not found, which one of ${names} needs`, `install the library ${missing}`]
  throw new CpuError('ERR_CPU_VM_LIBRARIES', fact, { cause: result, remedy })
}

/** `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x...)` and, for the loader, `/lib64/ld-linux-x86-64.so.2 (0x...)`. */
function parseLdd(output: string): string[] {
  return [...output.matchAll(/^\s*(?:\S+ => )?(\/\S+) \(0x/gm)].map(match => match[1]!)
}
