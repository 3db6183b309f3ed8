// What a command has said, as reports show it: its last lines, without what only a terminal understands.

import { stripVTControlCharacters } from 'node:util'
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

/** Without colours and the like. */
export function plainText(text: string): string {
  return stripVTControlCharacters(text).replace(/\r+\n/g, '\n')
}
