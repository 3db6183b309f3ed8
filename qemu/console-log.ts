// What the guest's kernel said on its console, as QEMU keeps it in a file.

import { existsSync, readFileSync } from 'node:fs'

const TAIL_LINES = 20

/** The last lines of a console, without control characters and empty lines. */
export function consoleTail(file: string, count: number = TAIL_LINES): string[] {
  return consoleLines(file).slice(-count)
}

/** The line with which the kernel gave up, if it did. */
export function panicLine(file: string): string | undefined {
  const line = consoleLines(file).find(text => text.includes('Kernel panic - not syncing'))
  return line?.replace(/^\[\s*[\d.]+\]\s*/, '')
}

/** All lines, without control characters and empty ones. */
export function consoleLines(file: string): string[] {
  if (!existsSync(file)) return []
  return readFileSync(file, 'utf8')
    .split('\n')
    .map(plainText)
    .filter(line => line !== '')
}

/** Firmware positions its cursor with escape sequences, which are not for a terminal of ours. */
function plainText(line: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is to be removed
  return line.replace(/\x1b\[[\d;?]*[A-Za-z]|\x1bc|[\x00-\x08\x0b-\x1f\x7f]/g, '').trimEnd()
}
