// `cpu-vm console` on a terminal. The machine is a program that sleeps, with a console's files: what is asked is what
// the terminal does. test/qemu/commands.test.ts has it on a real guest.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { createServer } from 'node:net'
import t, { type Test } from 'tap'
import {
  createMachineDirectory,
  initialState,
  machineFiles,
  writeState,
} from '../../qemu/machine-directory.js'
import { identifyProcess } from '../../qemu/process-identity.js'
import { eventually } from '../fixtures/cpu-command.js'
import { CPU_VM } from '../fixtures/cpu-vm-command.js'
import { startNodeOnTerminal } from '../fixtures/on-terminal.js'
import { privateRuntime } from './private-runtime.js'

async function machine(t: Test) {
  privateRuntime(t)
  const directory = await createMachineDirectory('v')
  const files = machineFiles(directory)
  const qemu = spawn('sleep', ['1000'])
  t.teardown(() => qemu.kill())
  writeState(directory, { ...initialState('v'), qemu: identifyProcess(qemu.pid!)!, ready: true })
  fs.writeFileSync(files.console, 'said before\n')
  let typed = ''
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.on('data', chunk => {
      typed += chunk
    })
  })
  server.listen(files.consoleSocket)
  await once(server, 'listening')
  t.teardown(() => void server.close())
  const terminal = startNodeOnTerminal(t, [CPU_VM, 'console', 'v'], {
    env: { XDG_RUNTIME_DIR: process.env['XDG_RUNTIME_DIR']! },
  })
  t.ok(await terminal.shows(/said before/))
  const receives = (text: string) => eventually(() => typed === text)
  return { terminal, receives, qemu, log: files.console }
}

t.test('what is said and typed; Ctrl-] leaves', async t => {
  const { terminal, receives, log } = await machine(t)
  t.match(terminal.screen(), /Ctrl-\] leaves/)
  fs.appendFileSync(log, 'said now\n')
  t.ok(await terminal.shows(/said now/))
  terminal.type('ls\r\x03~~')
  t.ok(await receives('ls\r\x03~~'), 'Ctrl-C too')
  t.notOk(await terminal.isCooked())
  terminal.type('\x1d')
  t.equal(await terminal.ended, 0)
  t.ok(await terminal.isCooked())
})

t.test('~. leaves', async t => {
  const { terminal, receives } = await machine(t)
  terminal.type('\r')
  t.ok(await receives('\r'))
  terminal.type('~.')
  t.equal(await terminal.ended, 0)
})

t.test('it ends with the machine', async t => {
  const { terminal, qemu, log } = await machine(t)
  fs.appendFileSync(log, 'last words\n')
  qemu.kill()
  t.equal(await terminal.ended, 0)
  t.match(terminal.screen(), /last words/)
  t.ok(await terminal.isCooked())
})
