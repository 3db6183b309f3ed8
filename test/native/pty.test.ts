import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, writeSync } from 'node:fs'
import t from 'tap'
import { closeFd } from '../../src/native/fd-stream.js'
import { openPty, resizePty, setTerminalModes } from '../../src/native/pty.js'

const stty = (fd: number, ...args: string[]) =>
  execFileSync('stty', args, { stdio: [fd, 'pipe', 'inherit'] }).toString()

t.test('has the size that was asked for, and follows changes', async t => {
  const { master, slaveFd, slavePath } = openPty({ rows: 24, columns: 80 })
  t.match(slavePath, /^\/dev\/pts\/\d+$/)
  t.ok(existsSync(slavePath))
  t.equal(stty(slaveFd, 'size'), '24 80\n')
  resizePty(master, 50, 132, 1320, 1000)
  t.equal(stty(slaveFd, 'size'), '50 132\n')
  closeFd(slaveFd)
  master.destroy()
  await once(master, 'close')
  resizePty(master, 1, 1)
})

t.test('carries both directions as a terminal does', async t => {
  const { master, slaveFd } = openPty({ rows: 24, columns: 80 })
  const child = spawn('sh', ['-c', 'read line; echo "got $line"'], { stdio: [slaveFd, slaveFd, slaveFd] })
  closeFd(slaveFd)
  master.write('words\n')
  let output = ''
  for await (const chunk of master) output += chunk
  t.equal(output, 'words\r\ngot words\r\n')
  t.equal(child.exitCode ?? (await once(child, 'exit'))[0], 0)
})

t.test('all output arrives before the end, though the slave is closed', async t => {
  for (let round = 0; round < 20; round++) {
    const { master, slaveFd } = openPty({ rows: 24, columns: 80 })
    const child = spawn('sh', ['-c', 'seq 1 20000'], { stdio: ['ignore', slaveFd, 'ignore'] })
    closeFd(slaveFd)
    const lines = []
    for await (const chunk of master) lines.push(chunk)
    const text = Buffer.concat(lines).toString()
    t.equal(text.split('\r\n').length, 20_001)
    if (child.exitCode === null) await once(child, 'exit')
  }
})

t.test('what is left after a slow reader arrives too', async t => {
  const { master, slaveFd } = openPty({ rows: 24, columns: 80 })
  master.pause()
  let written = 0
  for (let i = 0; i < 20; i++) written += writeSync(slaveFd, 'x'.repeat(500))
  closeFd(slaveFd)
  let received = 0
  for await (const chunk of master) received += chunk.length
  t.equal(received, written)
})

t.test('terminal modes by their SSH names', async t => {
  const { master, slaveFd } = openPty({ rows: 24, columns: 80 })
  setTerminalModes(slaveFd, {
    ECHO: 0,
    ICANON: 0,
    ISIG: 1,
    ONLCR: 0,
    IUTF8: 1,
    CS8: 1,
    CS7: 0,
    VINTR: 24,
    VQUIT: 255,
    TTY_OP_ISPEED: 9600,
    hasOwnProperty: 1,
  })
  const settings = stty(slaveFd, '-a')
  for (const setting of [
    / -echo /,
    / -icanon/,
    /isig/,
    / -onlcr/,
    /iutf8/,
    /cs8/,
    /intr = \^X/,
    /quit = <undef>/,
  ]) {
    t.match(settings, setting)
  }
  closeFd(slaveFd)
  await once(master.resume(), 'close')
})
