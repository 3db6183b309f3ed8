// A program that leads to the other side, as a stream: ssh_config(5), "ProxyCommand".
import { spawn } from 'node:child_process'
import { Duplex } from 'node:stream'
import { CpuError } from '../errors.js'

/**
 * Runs `command` in the user's shell; its stdin and stdout are the stream, its stderr is ours. When it ends, the stream
 * fails with CpuError ERR_CPU_PROXY, which names it. It is hung up when the stream is destroyed, or this process ends.
 */
export function startProxyCommand(command: string): Duplex {
  const shell = process.env['SHELL'] || '/bin/sh'
  // Ctrl-C is for the program over there: it must not take the way to it along.
  const script = 'trap "" INT QUIT; exec "$0" -c "exec $1"'
  const child = spawn('/bin/sh', ['-c', script, shell, command], { stdio: ['pipe', 'pipe', 'inherit'] })
  const hangUp = () => void child.kill('SIGHUP')
  process.once('exit', hangUp)
  const fail = (what: string, cause?: unknown) =>
    stream.destroy(
      new CpuError('ERR_CPU_PROXY', `the ProxyCommand ${JSON.stringify(command)} ${what}`, {
        cause,
        remedy: 'try it in a shell; it must not end before the session does',
      }),
    )
  const stream = new Duplex({
    read: () => void child.stdout.resume(),
    write: (chunk, _encoding, done) => void child.stdin.write(chunk, () => done()),
    final: done => void child.stdin.end(() => done()),
    destroy: (error, done) => {
      child.stdin.destroy()
      child.stdout.destroy()
      hangUp()
      done(error)
    },
  })
  child.stdout.on('data', chunk => stream.push(chunk) || child.stdout.pause())
  // Its exit status, which comes next, says more.
  child.stdin.on('error', () => {})
  child.once('error', cause => fail(`cannot be started: ${cause.message}`, cause))
  child.once('close', (code, signal) => {
    process.off('exit', hangUp)
    fail(signal === null ? `ended with exit code ${code}` : `was killed by ${signal}`)
  })
  return stream
}
