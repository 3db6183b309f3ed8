// How a program ended, as the server tells it to the client: RFC 4254, section 6.10.
import { constants } from 'node:os'
import type ssh2 from 'ssh2'
import { endedBy, type ProgramEnd } from './program-end.js'

/** Those that have a name there; with others, the exit code alone is told. */
const NAMES = /^SIG(ABRT|ALRM|FPE|HUP|ILL|INT|KILL|PIPE|QUIT|SEGV|TERM|USR1|USR2)$/

/**
 * Tells a signal both as what it is and, last, as an exit code: OpenSSH's client knows signals not at all, and would end
 * with 255.
 */
export function sendProgramEnd(channel: ssh2.ServerChannel, { exitCode, signal }: ProgramEnd): void {
  const name = signal === undefined ? undefined : NAMES.exec(signal)?.[1]
  if (name !== undefined) channel.exit(name, false, '')
  channel.exit(exitCode)
}

/** Calls `listener` when the end is told. */
export function receiveProgramEnd(channel: ssh2.ClientChannel, listener: (end: ProgramEnd) => void): void {
  let signalled = false
  channel.on('exit', (code: number | null, signal?: string) => {
    if (code === null) listener(endedBy(fullName(signal)))
    // What comes with a signal says the same, and less.
    else if (!signalled) listener({ exitCode: code })
    signalled ||= code === null
  })
}

/** With `SIG` in front, which the protocol has not. One that does not exist here ended the program all the same. */
function fullName(name = ''): NodeJS.Signals {
  const full = name.startsWith('SIG') ? name : `SIG${name}`
  return full in constants.signals ? (full as NodeJS.Signals) : 'SIGKILL'
}
