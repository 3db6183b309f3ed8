// npm run docs: writes what is made from the tables of flags: man pages, shell completion, tables of docs/config.md.

import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { packageRoot } from '../src/version.js'
import { documents } from './docs/documents.js'

for (const [file, text] of documents()) {
  const path = join(packageRoot(), file)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}
