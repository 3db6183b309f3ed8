// Who runs this process, also where passwd(5) does not know him, as in an initramfs.
import os from 'node:os'

export interface LocalUser {
  readonly uid: number
  readonly name: string
  readonly home: string
  readonly shell: string
}

/** What passwd(5) does not say, the environment does; a user without a name goes by his number. */
export function localUser(): LocalUser {
  const uid = process.geteuid?.() ?? 0
  try {
    const { username, homedir, shell } = os.userInfo()
    return { uid, name: username, home: homedir, shell: shell ?? '/bin/sh' }
  } catch {
    const { USER: name = String(uid), HOME: home = '/', SHELL: shell = '/bin/sh' } = process.env
    return { uid, name, home, shell }
  }
}
