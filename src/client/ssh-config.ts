// What ssh_config files say of a host, ready for use: the user's, the system's, and those that a launcher of virtual
// machines writes for each machine it runs. Called by settings.ts.
import os from 'node:os'
import path from 'node:path'
import { describeError } from '../cli/main.js'
import { CpuError, UsageError } from '../errors.js'
import { localUser } from '../local-user.js'
import { machineDirectories } from '../runtime-directory.js'
import type { ConfigFile } from './ssh-config-file.js'
import { type HostQuery, lookUpHost, type Setting } from './ssh-config-lookup.js'
import { expandPath, expandTokens, tokensFor } from './ssh-tokens.js'

/** What we use of ssh_config(5), tokens replaced; undefined where no file says anything. */
export interface HostConfig {
  readonly hostName?: string | undefined
  readonly port?: string | undefined
  readonly user?: string | undefined
  readonly identityFiles: readonly string[]
  readonly identitiesOnly: boolean
  /** A socket, or `none`. */
  readonly identityAgent?: string | undefined
  readonly knownHostsFiles?: readonly string[] | undefined
  readonly globalKnownHostsFiles?: readonly string[] | undefined
  readonly strictHostKeyChecking?: 'yes' | 'ask' | 'accept-new' | 'no' | undefined
  readonly hostKeyAlias?: string | undefined
  readonly hashKnownHosts: boolean
  /** Hosts to go through, in order, as they are written. */
  readonly proxyJump: readonly string[]
  readonly proxyCommand?: string | undefined
  /** Whether that command passes on a descriptor rather than bytes. */
  readonly proxyUseFdpass: boolean
  readonly connectTimeoutMs?: number | undefined
  readonly serverAliveIntervalMs?: number | undefined
  readonly serverAliveCountMax?: number | undefined
  /** Variables for the program, over those of the environment. */
  readonly setEnv: readonly (readonly [name: string, value: string])[]
  /** One character, or `none`. */
  readonly escapeChar?: string | undefined
  /** Nothing may be asked. */
  readonly batchMode: boolean
}

/** The configuration of a host. Throws UsageError, with file and line, and CpuError ERR_CPU_SSH_CONFIG. */
export function hostConfig(query: HostQuery, warn: (line: string) => void = () => {}): HostConfig {
  return interpretSettings(query, lookUpHost(query, configFiles(warn)))
}

/** Makes sense of what lookUpHost has found. Throws UsageError. */
export function interpretSettings(query: HostQuery, settings: ReadonlyMap<string, Setting>): HostConfig {
  const { alias, defaultPort } = query
  const word = (keyword: string) => settings.get(keyword)?.values[0]
  const place = (keyword: string) => settings.get(keyword)?.place ?? ''
  const read = <T>(keyword: string, parse: (text: string) => T | undefined, wants: string): T | undefined => {
    const text = word(keyword)
    if (text === undefined) return undefined
    const value = parse(text)
    if (value === undefined) throw new UsageError(`${place(keyword)}: "${text}" is no ${wants}`)
    return value
  }
  const isYes = (keyword: string) => read(keyword, parseYesNo, 'answer for yes or no') ?? false
  const written = word('hostname')
  const hostName = written && expandTokens(written, { '%': '%', h: alias }, place('hostname'))
  const user = word('user')
  const hostKeyAlias = word('hostkeyalias')
  const tokens = tokensFor({
    alias,
    host: hostName ?? alias,
    port: word('port') ?? defaultPort,
    user: user ?? localUser().name,
    hostKeyAlias,
  })
  const paths = (keyword: string) =>
    settings.get(keyword)?.values.map(text => expandPath(text, tokens, place(keyword)))
  const identityFiles = paths('identityfile')?.filter(file => file !== 'none') ?? []
  const command = unlessNone(word('proxycommand'))
  return {
    hostName,
    port: read('port', parsePort, 'port'),
    user,
    identityFiles,
    identitiesOnly: isYes('identitiesonly'),
    identityAgent: agentSocket(word('identityagent'), paths('identityagent')?.[0]),
    knownHostsFiles: paths('userknownhostsfile')?.filter(file => file !== 'none'),
    globalKnownHostsFiles: paths('globalknownhostsfile')?.filter(file => file !== 'none'),
    strictHostKeyChecking: read('stricthostkeychecking', parseStrictness, 'yes, no, ask or accept-new'),
    hostKeyAlias,
    hashKnownHosts: isYes('hashknownhosts'),
    proxyJump: unlessNone(word('proxyjump'))?.split(',') ?? [],
    proxyCommand: command && expandTokens(command, tokens, place('proxycommand')),
    proxyUseFdpass: isYes('proxyusefdpass'),
    connectTimeoutMs: read('connecttimeout', parseTime, 'time'),
    serverAliveIntervalMs: read('serveraliveinterval', parseTime, 'time'),
    serverAliveCountMax: read('serveralivecountmax', parseCount, 'number'),
    setEnv: settings.get('setenv')?.values.map(text => parseVariable(text, place('setenv'))) ?? [],
    escapeChar: read('escapechar', parseEscape, 'escape character'),
    batchMode: isYes('batchmode'),
  }
}

// The fragments first, since the first value wins: they are exact, and a user's `Host *` is not meant for them.
function configFiles(warn: (line: string) => void): ConfigFile[] {
  const fragments = machines(warn).map(directory => ({
    path: path.join(directory, 'ssh_config'),
    directory,
    isPrivate: true,
  }))
  const own = path.join(os.homedir(), '.ssh')
  return [
    ...fragments,
    { path: path.join(own, 'config'), directory: own, isPrivate: true },
    { path: '/etc/ssh/ssh_config', directory: '/etc/ssh', isPrivate: false },
  ]
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

function unlessNone(text: string | undefined): string | undefined {
  return text?.toLowerCase() === 'none' ? undefined : text
}

function agentSocket(written: string | undefined, expanded: string | undefined): string | undefined {
  if (written === 'SSH_AUTH_SOCK') return undefined
  // A variable without braces, and nothing else, is what its value says.
  return written?.startsWith('$') && !written.startsWith('${') ? process.env[written.slice(1)] : expanded
}

function parseYesNo(text: string): boolean | undefined {
  if (/^(yes|true)$/i.test(text)) return true
  return /^(no|false)$/i.test(text) ? false : undefined
}

function parsePort(text: string): string | undefined {
  return /^[1-9]\d*$/.test(text) ? text : undefined
}

function parseCount(text: string): number | undefined {
  return /^\d+$/.test(text) ? Number(text) : undefined
}

function parseStrictness(text: string): HostConfig['strictHostKeyChecking'] {
  switch (text.toLowerCase()) {
    case 'yes':
    case 'true':
      return 'yes'
    case 'no':
    case 'false':
    case 'off':
      return 'no'
    case 'ask':
      return 'ask'
    case 'accept-new':
      return 'accept-new'
    default:
      return undefined
  }
}

const UNITS: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 }

/** sshd_config(5), "TIME FORMATS", in milliseconds: `90`, `1m30s`. 0 for `none`. */
function parseTime(text: string): number | undefined {
  if (text.toLowerCase() === 'none') return 0
  if (!/^(\d+[smhdw]?)+$/i.test(text)) return undefined
  const seconds = [...text.toLowerCase().matchAll(/(\d+)([smhdw]?)/g)].map(
    ([, digits = '', unit = '']) => Number(digits) * (UNITS[unit] ?? 1),
  )
  return seconds.reduce((sum, part) => sum + part, 0) * 1000
}

function parseVariable(text: string, place: string): readonly [string, string] {
  const equals = text.indexOf('=')
  if (equals < 1) throw new UsageError(`${place}: SetEnv takes NAME=VALUE, not "${text}"`)
  return [text.slice(0, equals), text.slice(equals + 1)]
}

/** `none`, a character, or `^X` for one with Ctrl. */
function parseEscape(text: string): string | undefined {
  if (text.toLowerCase() === 'none') return 'none'
  if (/^\^[?-_a-z]$/.test(text)) return String.fromCharCode(text.toUpperCase().charCodeAt(1) & 0x1f)
  return text.length === 1 ? text : undefined
}
