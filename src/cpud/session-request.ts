// What is left of a session's request by the key of its client: `command=`, `environment=` and `no-port-forwarding` of
// sshd(8), "AUTHORIZED_KEYS FILE FORMAT".
import { CpuError } from '../errors.js'
import { type LocalUser, localUser } from '../local-user.js'
import type { SessionRequest } from '../ssh/exec-request.js'
import type { KeyOptions } from '../ssh/key-options.js'

/** What the client of a forced command may say about its terminal and language. */
const HARMLESS = /^(TERM|LANG|LC_\w+)$/

/**
 * The request, within what the key allows, for the user who is to run the program if that is not cpud's own. A forced command gets nothing of the client's that could turn it into another:
 * no files, no mounts, no variables that programs obey. Throws CpuError ERR_CPU_FILES where files are asked for that the
 * key does not allow.
 */
export function restrictRequest(
  request: SessionRequest,
  options: KeyOptions,
  user: LocalUser | undefined,
): SessionRequest {
  const { command } = options
  if (request.exec.filePort !== undefined && (command !== undefined || !options.forwarding))
    throw refuseFiles(command === undefined ? 'no-port-forwarding' : 'command')
  const restricted = command === undefined ? request : forced(request, command, user ?? localUser())
  if (user !== undefined) for (const [name, value] of identityOf(user)) restricted.program.set(name, value)
  for (const [name, value] of options.environment) restricted.program.set(name, Buffer.from(value))
  return restricted
}

function refuseFiles(option: string): CpuError {
  return new CpuError('ERR_CPU_FILES', `authorized_keys lets this key bring no files (${option})`, {
    remedy: 'leave them out with -9p=false',
  })
}

function identityOf({ name, home }: LocalUser): [string, Buffer][] {
  return Object.entries({ USER: name, LOGNAME: name, HOME: home }).map(([key, value]) => [
    key,
    Buffer.from(value),
  ])
}

function forced(request: SessionRequest, command: string, user: LocalUser): SessionRequest {
  const program = new Map(identityOf(user))
  program.set('PWD', Buffer.from(user.home)).set('SHELL', Buffer.from(user.shell))
  for (const [name, value] of request.program) if (HARMLESS.test(name)) program.set(name, value)
  if (request.command.length > 0) program.set('SSH_ORIGINAL_COMMAND', request.command)
  return {
    command: request.command,
    exec: { args: ['/bin/sh', '-c', command].map(word => Buffer.from(word)), filePort: undefined },
    nonce: undefined,
    directFiles: undefined,
    protocols: [],
    ninepOptions: '',
    fstab: '',
    strictness: { fstab: false, directory: false },
    program,
  }
}
