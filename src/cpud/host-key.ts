// The daemon's host key: made once, mode 0600, and kept.
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { CpuError } from '../errors.js'
import { generateKey } from '../ssh/generate-key.js'
import { parseIdentity } from '../ssh/identity.js'

/** The text of the private host key in `file`, which is made if it does not exist. Throws CpuError ERR_CPU_HOST_KEY_FILE. */
export function loadHostKey(file: string): string {
  try {
    if (!fs.existsSync(file)) createHostKey(file)
    const text = readPrivate(file)
    parseIdentity(file, text)
    return text
  } catch (cause) {
    throw cause instanceof CpuError && cause.code === 'ERR_CPU_HOST_KEY_FILE' ? cause : unusable(file, cause)
  }
}

/** As ssh(1) and sshd(8) do, a key of one's own that others may read is refused. */
function readPrivate(file: string): string {
  const fd = fs.openSync(file, 'r')
  try {
    const { mode, uid } = fs.fstatSync(fd)
    if (uid === process.getuid?.() && (mode & 0o077) !== 0) {
      const octal = (mode & 0o777).toString(8).padStart(4, '0')
      throw new CpuError('ERR_CPU_HOST_KEY_FILE', `the host key ${file} is open to others: mode ${octal}`, {
        remedy: `chmod 600 ${file}, or remove it and let cpud make another`,
      })
    }
    return fs.readFileSync(fd, 'utf8')
  } finally {
    fs.closeSync(fd)
  }
}

/** Writes key and public key. Made beside and linked into place: of two daemons that start at once, one wins for both. */
function createHostKey(file: string): void {
  fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
  const pair = generateKey('cpud')
  const temporary = `${file}.${randomBytes(6).toString('hex')}`
  fs.writeFileSync(temporary, pair.private, { mode: 0o600, flag: 'wx' })
  try {
    fs.linkSync(temporary, file)
    fs.writeFileSync(`${file}.pub`, `${pair.public}\n`, { mode: 0o644 })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    fs.unlinkSync(temporary)
  }
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
