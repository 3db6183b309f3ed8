// The kernel's command line as PID 1 reads it: the words of Documentation/admin-guide/kernel-parameters.rst, up to the
// `--` behind which they are PID 1's own arguments. The options taken are those that Linux and systemd know already.

import { CpuError } from '../errors.js'
import type { BootConfig } from './boot-config.js'
import { parseIpParameter } from './ip-parameter.js'

export interface KernelParameter {
  /** With underscores: `-` and `_` are the same there. */
  readonly name: string
  /** Empty for a word without `=`. */
  readonly value: string
}

/** As next_arg() in Linux's lib/cmdline.c: a quote keeps spaces together, and is taken away where value or word begins with it. */
export function kernelParameters(commandLine: string): KernelParameter[] {
  const words: string[] = commandLine.match(/(?:"[^"]*"?|[^\s"])+/g) ?? []
  const end = words.indexOf('--')
  return (end < 0 ? words : words.slice(0, end)).map(word => {
    const [, name = '', value = ''] = /^([^=]*)=?(.*)$/s.exec(unquoted(word))!
    return { name: name.replaceAll('-', '_'), value: unquoted(value) }
  })
}

function unquoted(text: string): string {
  return text.startsWith('"') ? text.slice(1).replace(/"$/, '') : text
}

/**
 * What the command line says of the machine: `ip=` and `hostname=`, as the kernel has them; `modules_load=`, as
 * systemd-modules-load(8) has it. What cannot be used is among the problems, and left out.
 */
export function commandLineConfig(commandLine: string): { config: BootConfig; problems: CpuError[] } {
  const parameters = kernelParameters(commandLine)
  const valuesOf = (wanted: string) =>
    parameters.filter(({ name }) => name === wanted).map(({ value }) => value)
  const problems: CpuError[] = []
  let ip: ReturnType<typeof parseIpParameter> = {}
  try {
    ip = parseIpParameter(valuesOf('ip').at(-1) ?? 'off')
  } catch (error) {
    if (!(error instanceof CpuError)) throw error
    problems.push(error)
  }
  const hostname = valuesOf('hostname').at(-1) ?? ip.hostname
  const modules = valuesOf('modules_load').flatMap(value => value.split(',').filter(Boolean))
  return {
    config: {
      modules,
      ...(hostname === undefined ? {} : { hostname }),
      ...(ip.network === undefined ? {} : { network: ip.network }),
    },
    problems,
  }
}
