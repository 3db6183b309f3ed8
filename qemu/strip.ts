// Leaves out what is of no use in a guest, by strip(1): symbols of Node, and what a build with CONFIG_DEBUG_INFO puts
// into modules, which makes them ten times as large. Without strip it stays.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { elfSection } from './elf.js'

/** scripts/sign-file.c */
const SIGNATURE = '~Module signature appended~\n'

/** Gives `use` the path of a stripped copy, for as long as it runs, or of the file itself. */
export async function withStripped<T>(
  file: string,
  use: (path: string) => Promise<T>,
  flags: readonly string[] = [],
  command = 'strip',
): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'cpu-harness-strip-'))
  try {
    const stripped = join(directory, 'stripped')
    const { failed } = await execa(command, [...flags, '-o', stripped, file], {
      reject: false,
      timeout: 120_000,
    })
    return await use(failed ? file : stripped)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** A kernel module without what is for debuggers. One that is signed stays as it was signed. */
export async function withoutDebugInformation(module: Buffer): Promise<Buffer> {
  if (elfSection(module, '.debug_info') === undefined || isSigned(module)) return module
  const directory = await mkdtemp(join(tmpdir(), 'cpu-harness-module-'))
  try {
    const file = join(directory, 'module.ko')
    await writeFile(file, module)
    return await withStripped(file, path => readFile(path), ['--strip-debug'])
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

function isSigned(module: Buffer): boolean {
  return module.subarray(-SIGNATURE.length).toString('latin1') === SIGNATURE
}
