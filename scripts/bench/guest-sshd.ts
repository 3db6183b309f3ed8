// OpenSSH's server with keys and configuration of its own, for sshfs and for `ssh host true`.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { freePort } from '../../qemu/addresses.js'
import { CpuError } from '../../src/errors.js'
import { generateKey } from '../../src/ssh/generate-key.js'

export const SFTP_SERVER = '/usr/lib/openssh/sftp-server'

export interface SshdFiles {
  readonly directory: string
  /** Names of the files in `directory`. */
  readonly hostKey: string
  readonly clientKey: string
  readonly authorizedKeys: string
  /** Type and base64. */
  readonly hostPublicKey: string
}

/** Writes keys for a server and its one client. */
export function writeSshdFiles(directory: string): SshdFiles {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const host = generateKey('bench')
  const client = generateKey('bench')
  const put = (name: string, text: string) => writeFileSync(path.join(directory, name), text, { mode: 0o600 })
  put('ssh_host_key', host.private)
  put('id', client.private)
  put('authorized_keys', `${client.public.trim()}\n`)
  return {
    directory,
    hostKey: 'ssh_host_key',
    clientKey: 'id',
    authorizedKeys: 'authorized_keys',
    hostPublicKey: host.public.trim(),
  }
}

/** What differs from the defaults: where its files are, and that only these keys log in. */
export function sshdConfig(options: { directory: string; address: string; port: number }): string {
  const { directory, address, port } = options
  return [
    `ListenAddress ${address}:${port}`,
    `HostKey ${directory}/ssh_host_key`,
    `AuthorizedKeysFile ${directory}/authorized_keys`,
    'PidFile none',
    'StrictModes no',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'PermitRootLogin prohibit-password',
    `Subsystem sftp ${SFTP_SERVER}`,
    '',
  ].join('\n')
}

export interface Sshd extends Disposable {
  readonly port: number
}

const SSHD = '/usr/sbin/sshd'
const START_LIMIT_MS = 60_000

/** Starts it on a free port of 127.0.0.1. Throws ERR_CPU_BENCH. */
export async function startSshd({ directory }: SshdFiles): Promise<Sshd> {
  mkdirSync('/run/sshd', { recursive: true, mode: 0o755 })
  const port = await freePort()
  const file = path.join(directory, 'sshd_config')
  writeFileSync(file, sshdConfig({ directory, address: '127.0.0.1', port }))
  const child = spawn(SSHD, ['-D', '-e', '-f', file], { stdio: ['ignore', 'ignore', 'pipe'] })
  await listening(child)
  return { port, [Symbol.dispose]: () => void child.kill() }
}

/** It says so on stderr. */
function listening(child: ChildProcess): Promise<void> {
  let said = ''
  return new Promise((resolve, reject) => {
    const fail = (why: string) => {
      child.kill()
      reject(new CpuError('ERR_CPU_BENCH', `${SSHD} does not start: ${why}`))
    }
    const timer = setTimeout(() => fail('it says nothing'), START_LIMIT_MS)
    child.once('error', error => fail(error.message))
    child.once('exit', () => fail(said.trim()))
    child.stderr!.on('data', chunk => {
      said += chunk
      if (!/Server listening/.test(said)) return
      clearTimeout(timer)
      child.removeAllListeners('exit')
      resolve()
    })
  })
}
