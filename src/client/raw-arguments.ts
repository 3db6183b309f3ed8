// Arguments and environment as bytes. Node decodes both as UTF-8, which loses what is none; the kernel still has
// them in /proc/self.
import fs from 'node:fs'

/** The last `count` arguments of this process, byte for byte; `decoded` is what Node has of them. */
export function rawArguments(decoded: readonly string[]): Buffer[] {
  const raw = splitNul('/proc/self/cmdline')
  const tail = decoded.length === 0 ? [] : raw?.slice(-decoded.length)
  const usable =
    tail?.length === decoded.length && tail.every((bytes, index) => bytes.toString() === decoded[index])
  return usable ? tail : decoded.map(argument => Buffer.from(argument))
}

/** The environment this process was started with, byte for byte. */
export function rawEnvironment(): Map<string, Buffer> {
  const environment = new Map<string, Buffer>()
  for (const [key, value] of Object.entries(process.env)) environment.set(key, Buffer.from(value ?? ''))
  for (const string of splitNul('/proc/self/environ') ?? []) {
    const equals = string.indexOf('=')
    const key = string.toString('utf8', 0, Math.max(equals, 0))
    const value = string.subarray(equals + 1)
    // A variable that was changed since has the newer value in process.env only.
    if (environment.get(key)?.toString() === value.toString()) environment.set(key, value)
  }
  return environment
}

function splitNul(file: string): Buffer[] | undefined {
  let bytes: Buffer
  try {
    bytes = fs.readFileSync(file)
  } catch {
    return undefined // not Linux, or /proc is not there
  }
  const strings: Buffer[] = []
  for (let start = 0, end = bytes.indexOf(0); end !== -1; start = end + 1, end = bytes.indexOf(0, start)) {
    strings.push(bytes.subarray(start, end))
  }
  return strings
}
