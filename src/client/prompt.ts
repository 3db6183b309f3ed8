// Questions to the user: on the terminal itself, since stdin and stdout are the program's.
import fs from 'node:fs'
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { ReadStream } from 'node:tty'

const TERMINAL = '/dev/tty'

/** Whether there is somebody to ask. */
export function hasTerminal(): boolean {
  try {
    fs.closeSync(fs.openSync(TERMINAL, fs.constants.O_RDWR | fs.constants.O_NOCTTY))
    return true
  } catch {
    return false
  }
}

/** Asks for what must not be seen. Undefined when the user gives no answer (Ctrl-D); Ctrl-C ends this process. */
export function askOnTerminal(question: string): Promise<string | undefined> {
  return ask(question, false)
}

/** Asks until the answer is yes or no. */
export async function confirmOnTerminal(question: string): Promise<boolean> {
  for (let text = `${question} (yes/no) `; ; text = 'Please type yes or no: ') {
    const answer = (await ask(text, true))?.trim().toLowerCase()
    if (answer === 'yes') return true
    if (answer === 'no' || answer === undefined) return false
  }
}

async function ask(question: string, isEchoed: boolean): Promise<string | undefined> {
  const fd = fs.openSync(TERMINAL, fs.constants.O_RDWR | fs.constants.O_NOCTTY)
  const input = new ReadStream(fs.openSync(TERMINAL, fs.constants.O_RDONLY | fs.constants.O_NOCTTY))
  const output = new Writable({
    write(chunk: Buffer, _encoding, done) {
      if (isEchoed) fs.writeSync(fd, chunk)
      done()
    },
  })
  // Raw while it reads, so that nothing is echoed; it edits the line by itself, and keeps none.
  const reader = createInterface({ input, output, terminal: true, historySize: 0 })
  try {
    if (!isEchoed) fs.writeSync(fd, question)
    return await new Promise(resolve => {
      reader.once('close', () => resolve(undefined))
      reader.once('SIGINT', () => {
        reader.close()
        process.kill(process.pid, 'SIGINT')
      })
      reader.question(isEchoed ? question : '', resolve)
    })
  } finally {
    reader.close()
    input.destroy()
    if (!isEchoed) fs.writeSync(fd, '\n')
    fs.closeSync(fd)
  }
}
