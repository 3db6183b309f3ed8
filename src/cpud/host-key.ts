// The daemon's host key: made once, mode 0600, and kept.
import fs from 'node:fs'
import path from 'node:path'
import { CpuError } from '../errors.js'
import { generateKey } from '../ssh/generate-key.js'
import { parseIdentity } from '../ssh/identity.js'

/** The text of the private host key in `file`, which is made if it does not exist. Throws CpuError ERR_CPU_HOST_KEY_FILE. */
export function loadHostKey(file: string): string {
  try {
    const text = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : createHostKey(file)
    parseIdentity(file, text)
    return text
  } catch (cause) {
    throw unusable(file, cause)
  }
}

/** Writes key and public key. Made beside and linked into place: of two daemons that start at once, one wins for both. */
function createHostKey(file: string): string {
  fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
  const pair = generateKey('cpud')
  const temporary = `${file}.${process.pid}`
  fs.writeFileSync(temporary, pair.private, { mode: 0o600, flag: 'wx' })
  try {
    fs.linkSync(temporary, file)
    fs.writeFileSync(`${file}.pub`, `${pair.public}\n`, { mode: 0o644 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    fs.unlinkSync(temporary)
  }
  return fs.readFileSync(file, 'utf8')
}

function unusable(file: string, cause: unknown): CpuError {
  return new CpuError(
    'ERR_CPU_HOST_KEY_FILE',
    `cannot use the host key ${file}: ${(cause as Error).message}`,
    {
      cause,
      remedy: 'name another place with -hk FILE',
    },
  )
}
