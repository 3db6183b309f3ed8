// Writes fstab(5): the reverse of parse.ts.

import type { FstabEntry } from './entry.js'

export type FstabFields = Pick<FstabEntry, 'source' | 'target' | 'type'> &
  Partial<Pick<FstabEntry, 'options' | 'freq' | 'passno'>>

/** All six fields on one line, without a line feed. */
export function formatFstabLine(fields: FstabFields): string {
  const { source, target, type, options = 'defaults', freq = 0, passno = 0 } = fields
  return [...[source, target, type, options].map(encodeField), freq, passno].join(' ')
}

/** One line per entry, each with its line feed. */
export function formatFstab(entries: readonly FstabFields[]): string {
  return entries.map(entry => `${formatFstabLine(entry)}\n`).join('')
}

/** Escapes what would end a field or a line, begin a comment, or be taken for an escape. */
function encodeField(field: string): string {
  return field.replace(
    /[ \t\n\r\\]|^#/g,
    character => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`,
  )
}
