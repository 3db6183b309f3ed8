// What ssh_config files say of one host: Host, Match and Include, the first value of a keyword winning: ssh_config(5).
// The values come as they are written; ssh-config.ts makes sense of them.
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { UsageError } from '../errors.js'
import { localUser } from '../local-user.js'
import { matchesPatterns } from '../ssh/patterns.js'
import { type ConfigFile, type ConfigLine, expandGlob, readConfigFile } from './ssh-config-file.js'
import { expandHome, expandTokens, type Tokens, tokensFor } from './ssh-tokens.js'

export interface Setting {
  readonly values: readonly string[]
  /** `FILE:LINE` of the first of them, for messages. */
  readonly place: string
}

export interface HostQuery {
  /** The host as the user named it. */
  readonly alias: string
  /** Where the command line names them, it wins. */
  readonly user?: string | undefined
  readonly port?: string | undefined
  readonly defaultPort: string
}

/** Keywords whose values add up. */
const ADDING = new Set(['identityfile', 'sendenv'])

const MAX_INCLUDE_DEPTH = 16

/** Settings by their keyword in lower case. Throws UsageError, and CpuError ERR_CPU_SSH_CONFIG. */
export function lookUpHost(query: HostQuery, files: readonly ConfigFile[]): ReadonlyMap<string, Setting> {
  const lookup = new Lookup(query)
  for (const file of files) lookup.read(file)
  // As OpenSSH does it: again from the start, now by the name that HostName gives.
  if (lookup.wantsFinalPass) {
    lookup.isFinalPass = true
    for (const file of files) lookup.read(file)
  }
  return lookup.settings
}

class Lookup {
  readonly settings = new Map<string, Setting>()
  isFinalPass = false
  wantsFinalPass = false
  readonly #query: HostQuery

  constructor(query: HostQuery) {
    this.#query = query
    const given = { user: query.user, port: query.port }
    for (const [keyword, value] of Object.entries(given))
      if (value !== undefined) this.settings.set(keyword, { values: [value], place: 'the command line' })
  }

  read(file: ConfigFile, isIncluded = true, depth = 0): void {
    let isActive = isIncluded
    for (const line of readConfigFile(file)) {
      if (line.keyword === 'host') isActive = isIncluded && matchesPatterns(this.#host(), line.values)
      else if (line.keyword === 'match') isActive = this.#matches(line, isIncluded)
      else if (line.keyword === 'include') this.#include(line, file, isActive, depth + 1)
      else if (isActive) this.#set(line)
    }
  }

  #include(line: ConfigLine, file: ConfigFile, isActive: boolean, depth: number): void {
    if (depth > MAX_INCLUDE_DEPTH) throw new UsageError(`${line.place}: Include goes too deep`)
    for (const name of line.values) {
      const pattern = path.resolve(file.directory, expandHome(name))
      for (const found of expandGlob(pattern)) this.read({ ...file, path: found }, isActive, depth)
    }
  }

  #set({ keyword, values, place }: ConfigLine): void {
    // Whichever of the two comes first is meant.
    const rival =
      keyword === 'proxyjump' ? 'proxycommand' : keyword === 'proxycommand' ? 'proxyjump' : undefined
    if (rival !== undefined && this.settings.has(rival)) return
    const known = this.settings.get(keyword)
    if (known === undefined) this.settings.set(keyword, { values, place })
    else if (ADDING.has(keyword))
      this.settings.set(keyword, { ...known, values: [...new Set([...known.values, ...values])] })
  }

  /** What Host patterns are compared with. */
  #host(): string {
    return this.isFinalPass ? this.#hostName() : this.#query.alias
  }

  #hostName(): string {
    const { alias } = this.#query
    const setting = this.settings.get('hostname')
    return setting === undefined
      ? alias
      : expandTokens(setting.values[0] ?? '', { '%': '%', h: alias }, setting.place)
  }

  #user(): string {
    return this.settings.get('user')?.values[0] ?? localUser().name
  }

  /** Every criterion is looked at for its form, and run only while all before it hold. */
  #matches(line: ConfigLine, isIncluded: boolean): boolean {
    const words = [...line.values]
    let holds = isIncluded
    while (words.length > 0) {
      const word = words.shift() as string
      const criterion = word.replace(/^!/, '').toLowerCase()
      let value = ''
      if (!['all', 'canonical', 'final'].includes(criterion)) {
        const next = words.shift()
        if (next === undefined) throw new UsageError(`${line.place}: Match ${word} needs a value`)
        value = next
      }
      const isWanted = !word.startsWith('!')
      if (holds) holds = this.#criterion(criterion, value, line.place) === isWanted
    }
    return holds
  }

  /** Undefined for a criterion of later versions: whether it holds or not, its lines are not for us. */
  #criterion(criterion: string, value: string, place: string): boolean | undefined {
    const list = value.split(',')
    switch (criterion) {
      case 'all':
        return true
      case 'final':
        this.wantsFinalPass = true
        return this.isFinalPass
      case 'canonical':
        return this.isFinalPass
      case 'host':
        return matchesPatterns(this.#hostName(), list, { ignoreCase: true })
      case 'originalhost':
        return matchesPatterns(this.#query.alias, list, { ignoreCase: true })
      case 'user':
        return matchesPatterns(this.#user(), list)
      case 'localuser':
        return matchesPatterns(localUser().name, list)
      case 'exec':
        return succeeds(expandTokens(value, this.#tokens(), place))
      default:
        return undefined
    }
  }

  #tokens(): Tokens {
    const { alias, defaultPort } = this.#query
    const port = this.settings.get('port')?.values[0] ?? defaultPort
    const hostKeyAlias = this.settings.get('hostkeyalias')?.values[0]
    return tokensFor({ alias, host: this.#hostName(), port, user: this.#user(), hostKeyAlias })
  }
}

/** Runs a command of the user's own configuration in their shell, as ssh does. */
function succeeds(command: string): boolean {
  const shell = process.env['SHELL'] || '/bin/sh'
  return spawnSync(shell, ['-c', command], { stdio: ['ignore', 'ignore', 'inherit'] }).status === 0
}
