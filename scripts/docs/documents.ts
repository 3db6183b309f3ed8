// Every file that is made from the tables of flags, by its path within the package.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageRoot, version } from '../../src/version.js'
import { renderBash } from './bash.js'
import { CPU_MANUAL } from './cpu-manual.js'
import { CPU_VM_MANUAL } from './cpu-vm-manual.js'
import { CPUD_MANUAL } from './cpud-manual.js'
import { renderFish } from './fish.js'
import type { Manual } from './manual.js'
import { renderMan } from './roff.js'
import { fillTables } from './tables.js'
import { renderZsh } from './zsh.js'

export const MANUALS: readonly Manual[] = [CPU_MANUAL, CPUD_MANUAL, CPU_VM_MANUAL]

export function documents(): Map<string, string> {
  const files = new Map<string, string>()
  for (const manual of MANUALS) {
    files.set(`docs/man/${manual.name}.${manual.section}`, renderMan(manual, version()))
    files.set(`docs/completion/${manual.name}.bash`, renderBash(manual))
    files.set(`docs/completion/_${manual.name}`, renderZsh(manual))
    files.set(`docs/completion/${manual.name}.fish`, renderFish(manual))
  }
  const config = 'docs/config.md'
  files.set(config, fillTables(readFileSync(join(packageRoot(), config), 'utf8'), MANUALS))
  return files
}
