// What a command has said, as reports show it: its last lines, without what only a terminal understands.

import type { Output } from './expectation.js'

const SHOWN_LINES = 40
const SHOWN_COLUMNS = 500

/** Oldest first. Says so where something is left out. */
export function outputLines({ text, isCut }: Output, count: number = SHOWN_LINES): string[] {
  const lines = plainText(text).trimEnd().split('\n')
  if (lines.length === 1 && lines[0] === '') return []
  const shown = lines.slice(-count).map(line => line.slice(0, SHOWN_COLUMNS))
  return isCut || shown.length < lines.length ? ['(more before)', ...shown] : shown
}

/** Without colours and other escape sequences of ECMA-48; a progress bar's last state. */
export function plainText(text: string): string {
  return (
    text
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is to be removed
      .replace(/\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])/g, '')
      .replace(/\r+\n/g, '\n')
  )
}
