// The authorized_keys file while the daemon runs: read again at each attempt to log in, so that what is taken out of it
// takes effect at once.
import fs from 'node:fs'
import { parseAuthorizedKeys } from '../ssh/authorized-keys.js'
import type { KeySource } from './login.js'

/** The keys in `file`, none while it cannot be read. What is wrong with it is logged once, not at each login. */
export function keysIn(file: string, log: (line: string) => void): KeySource {
  let told = new Set<string>()
  return () => {
    const { keys, problems } = read(file)
    for (const problem of problems) if (!told.has(problem)) log(problem)
    told = new Set(problems)
    return keys
  }
}

function read(file: string): ReturnType<typeof parseAuthorizedKeys> {
  try {
    return parseAuthorizedKeys(fs.readFileSync(file, 'utf8'), file)
  } catch (error) {
    return { keys: [], problems: [`cannot read the authorized keys: ${(error as Error).message}`] }
  }
}
