// Programs that benchmarks compare with or are made with, from Debian packages: installed when they are missing and
// that is possible, and else asked for in one line.

import { accessSync, constants, existsSync } from 'node:fs'
import { join } from 'node:path'
import { execa } from 'execa'
import { CpuError } from '../../src/errors.js'

/** By program, the Debian package that brings it. */
const packages = {
  gcc: 'gcc',
  diod: 'diod',
  gnuplot: 'gnuplot-nox',
  sshfs: 'sshfs',
  sshd: 'openssh-server',
  fio: 'fio',
} as const

export type Program = keyof typeof packages

/** Makes sure that the programs are there. Throws CpuError ERR_CPU_BENCH_NEEDS. */
export async function need(programs: readonly Program[], say: (line: string) => void): Promise<void> {
  const missing = programs.filter(program => !isThere(program)).map(program => packages[program])
  if (missing.length === 0) return
  const command = `apt-get install ${missing.join(' ')}`
  if (process.getuid?.() !== 0 || !existsSync('/etc/debian_version'))
    throw new CpuError('ERR_CPU_BENCH_NEEDS', `this machine lacks ${missing.join(', ')}`, { remedy: command })
  say(`installing Debian packages: ${missing.join(' ')}`)
  const options = { env: { DEBIAN_FRONTEND: 'noninteractive' }, timeout: 600_000 }
  await execa('apt-get', ['update', '-qq'], options)
  await execa('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...missing], options)
}

/** Debian has daemons where users' paths do not lead. */
function isThere(program: string): boolean {
  const directories = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin']
  return directories.some(directory => {
    try {
      accessSync(join(directory || '.', program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
