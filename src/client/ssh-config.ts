// What ssh_config files say of a host: the user's, the system's, and those that a launcher of virtual machines
// writes for each machine it runs.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import SSHConfig from 'ssh-config'
import { describeError } from '../cli/main.js'
import { CpuError, UsageError } from '../errors.js'
import { machineDirectories } from '../runtime-directory.js'

/** What we use of ssh_config(5); absent where no file says anything. */
export interface HostConfig {
  readonly hostName?: string | undefined
  readonly port?: string | undefined
  readonly user?: string | undefined
  readonly identityFiles: readonly string[]
  readonly identitiesOnly: boolean
  readonly knownHostsFiles?: readonly string[] | undefined
  readonly strictHostKeyChecking?: string | undefined
}

/** The configuration of `alias`, the first value of each keyword winning, as in OpenSSH. */
export function hostConfig(alias: string, warn: (line: string) => void = () => {}): HostConfig {
  const computed = new SSHConfig()
  for (const file of configFiles(warn)) computed.push(...readConfig(file))
  const values = computed.compute(alias, { ignoreCase: true })
  return {
    hostName: single(values['hostname']),
    port: single(values['port']),
    user: single(values['user']),
    identityFiles: list(values['identityfile']).map(expandHome),
    identitiesOnly: single(values['identitiesonly'])?.toLowerCase() === 'yes',
    knownHostsFiles:
      values['userknownhostsfile'] === undefined
        ? undefined
        : words(values['userknownhostsfile']).map(expandHome),
    strictHostKeyChecking: single(values['stricthostkeychecking'])?.toLowerCase(),
  }
}

// The fragments first, since the first value wins: they are exact, and a user's `Host *` is not meant for them.
function configFiles(warn: (line: string) => void): string[] {
  const fragments = machines(warn).map(directory => path.join(directory, 'ssh_config'))
  return [...fragments, path.join(os.homedir(), '.ssh/config'), '/etc/ssh/ssh_config']
}

/** A runtime directory that others can write to is not trusted, but hosts elsewhere can still be reached. */
function machines(warn: (line: string) => void): string[] {
  try {
    return machineDirectories()
  } catch (error) {
    if (!(error instanceof CpuError)) throw error
    warn(`machines that run here are not looked at: ${describeError(error)}`)
    return []
  }
}

function readConfig(file: string): SSHConfig {
  let text: string
  try {
    text = fs.readFileSync(file, 'utf8')
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return new SSHConfig()
    throw new CpuError('ERR_CPU_SSH_CONFIG', `cannot read ${file}: ${message}`, { cause })
  }
  try {
    return SSHConfig.parse(text)
  } catch (error) {
    throw new UsageError(`${file}: ${(error as Error).message}`)
  }
}

type Value = string | string[] | undefined

function list(value: Value): string[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value]
}

function single(value: Value): string | undefined {
  return list(value)[0]
}

function words(value: Value): string[] {
  return list(value)
    .flatMap(text => text.split(/\s+/))
    .filter(word => word !== '')
}

/** `~/` at the start stands for the home directory. */
export function expandHome(file: string): string {
  return file.startsWith('~/') ? path.join(os.homedir(), file.slice(2)) : file
}
