// ssh_config files as lines, and the files that an Include names. The package ssh-config reads each line by itself, so
// that one that it cannot read is named, and what an Include brings in keeps its place. Called by ssh-config-lookup.ts.
import fs from 'node:fs'
import path from 'node:path'
import SSHConfig, { LineType } from 'ssh-config'
import { CpuError, UsageError } from '../errors.js'
import { splitCommand } from '../ssh/quote.js'

export interface ConfigLine {
  /** In lower case. */
  readonly keyword: string
  /** Its words; one, spaces and all, for keywords that have one value. */
  readonly values: readonly string[]
  /** `FILE:LINE`, for messages. */
  readonly place: string
}

export interface ConfigFile {
  readonly path: string
  /** Where relative names of an Include start. */
  readonly directory: string
  /** Whether nobody else may be able to write to it: it names programs to run. */
  readonly isPrivate: boolean
}

/** The lines that say something; none where there is no such file. Throws UsageError and CpuError ERR_CPU_SSH_CONFIG. */
export function readConfigFile(file: ConfigFile): ConfigLine[] {
  return (readText(file) ?? '').split(/\r?\n/).flatMap((text, index) => {
    const line = text.trim()
    return line === '' || line.startsWith('#') ? [] : [parseLine(line, `${file.path}:${index + 1}`)]
  })
}

function readText({ path: name, isPrivate }: ConfigFile): string | undefined {
  let fd: number
  try {
    fd = fs.openSync(name, 'r')
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new CpuError('ERR_CPU_SSH_CONFIG', `cannot read ${name}: ${message}`, { cause })
  }
  try {
    const { uid, mode } = fs.fstatSync(fd)
    if (isPrivate && ((uid !== 0 && uid !== process.getuid?.()) || (mode & 0o022) !== 0)) {
      throw new CpuError('ERR_CPU_SSH_CONFIG', `${name} can be changed by others`, {
        remedy: `it may name programs to run: chown it to yourself, and chmod go-w ${name}`,
      })
    }
    return fs.readFileSync(fd, 'utf8')
  } catch (cause) {
    if (cause instanceof CpuError) throw cause
    throw new CpuError('ERR_CPU_SSH_CONFIG', `cannot read ${name}: ${(cause as Error).message}`, { cause })
  } finally {
    fs.closeSync(fd)
  }
}

/** Keywords whose value is the rest of the line, or has quotes inside its words, which the package would take away. */
const RAW = new Map<string, (rest: string) => string[]>([
  ['proxycommand', rest => [rest]],
  ['setenv', rest => splitCommand(rest).map(String)],
])

function parseLine(text: string, place: string): ConfigLine {
  try {
    const [line] = SSHConfig.parse(text)
    if (line?.type === LineType.DIRECTIVE) {
      const { param, separator, value } = line
      const keyword = param.toLowerCase()
      const rest = text.slice(param.length + separator.length)
      const words = typeof value === 'string' ? [value] : value.map(({ val }) => val)
      const values = RAW.get(keyword)?.(rest) ?? words
      if (rest !== '') return { keyword, values, place }
    }
  } catch {
    // Its own words name neither file nor line.
  }
  throw new UsageError(`${place}: malformed line: ${text}`)
}

/** The files that a name of an Include stands for, in order. `*`, `?` and `[...]` as glob(7) has them. */
export function expandGlob(pattern: string): string[] {
  const { root } = path.parse(pattern)
  return pattern
    .slice(root.length)
    .split('/')
    .reduce(
      (found, component) =>
        /[*?[]/.test(component)
          ? found.flatMap(directory => entries(directory, component))
          : found.map(directory => path.join(directory, component)),
      [root],
    )
}

function entries(directory: string, component: string): string[] {
  const expression = new RegExp(
    `^${component
      .replace(/[.+^${}()|\\]/g, '\\$&')
      .replace(/\*/g, '.*')
      .replace(/\?/g, '.')
      .replace(/\[!/g, '[^')}$`,
    's',
  )
  try {
    return fs
      .readdirSync(directory)
      .filter(name => expression.test(name) && (!name.startsWith('.') || component.startsWith('.')))
      .sort()
      .map(name => path.join(directory, name))
  } catch {
    return []
  }
}
