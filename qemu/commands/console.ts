// cpu-vm console: a machine's serial console, or QEMU's monitor, on this terminal. The console is shown from its log,
// so that nothing is missed or shown twice; its socket takes what is typed.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { ReadStream, WriteStream } from 'node:tty'
import { EscapeFilter } from '../../src/client/escapes.js'
import { RawTerminal } from '../../src/client/terminal.js'
import { CpuError } from '../../src/errors.js'
import { CONSOLE_FLAGS } from '../flags.js'
import { followFile } from '../follow-file.js'
import { findRunning, machineFiles, stillRuns } from '../machine-directory.js'
import { command, machineOperand } from './command.js'
import { say } from './output.js'

const CTRL_RIGHT_BRACKET = 0x1d
const HELP = 'Ctrl-] leaves, and ~. at the start of a line'

export const consoleCommand = command('console', CONSOLE_FLAGS, async (flags, signal) => {
  const name = machineOperand(flags)
  const { directory } = findRunning(name)
  const files = machineFiles(directory)
  const { monitor } = flags.values
  const socket = await attach(name, monitor ? files.humanMonitor : files.consoleSocket)
  const { stdin, stdout } = process
  const isTerminal = stdin.isTTY === true && stdout.isTTY === true
  if (isTerminal) say(`${name}: ${HELP}`)
  using _terminal = isTerminal ? new RawTerminal(stdin as ReadStream, stdout as WriteStream) : undefined
  const left = new AbortController()
  forwardInput(socket, isTerminal ? () => left.abort() : undefined)
  try {
    if (monitor) await show(socket, AbortSignal.any([signal, left.signal]))
    else {
      socket.resume()
      const isOver = () => left.signal.aborted || !stillRuns(directory)
      for await (const bytes of followFile(files.console, isOver, signal)) stdout.write(bytes)
    }
    signal.throwIfAborted()
    return 0
  } finally {
    stdin.pause()
    socket.destroy()
  }
})

/** Throws CpuError ERR_CPU_VM_CONSOLE. */
async function attach(name: string, path: string): Promise<Socket> {
  const socket = connect(path)
  try {
    await once(socket, 'connect')
  } catch (error) {
    throw new CpuError('ERR_CPU_VM_CONSOLE', `${name} has no console or monitor at ${path}`, {
      cause: error,
      remedy: 'it has a monitor when it was started with -debug',
    })
  }
  // The end of the machine is seen elsewhere.
  socket.on('error', () => undefined)
  return socket
}

/** What is typed, but for what leaves; `leave` is given for a terminal. */
function forwardInput(socket: Socket, leave: (() => void) | undefined): void {
  if (leave === undefined) {
    process.stdin.pipe(socket, { end: false })
    return
  }
  const filter = new EscapeFilter('~', {
    leave,
    suspend: () => undefined,
    help: () => say(HELP),
  })
  filter.pipe(socket, { end: false })
  process.stdin.on('data', (typed: Buffer) => {
    const end = typed.indexOf(CTRL_RIGHT_BRACKET)
    if (end < 0) filter.write(typed)
    else leave()
  })
}

/** Until the machine ends it, or the signal. */
async function show(socket: Socket, signal: AbortSignal): Promise<void> {
  socket.pipe(process.stdout, { end: false })
  await once(socket, 'close', { signal }).catch(() => undefined)
}
