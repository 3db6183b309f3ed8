// A guest that has booted becomes a snapshot: it does once what its copies will do, and is written down while it is nobody.

import { readFileSync } from 'node:fs'
import { describeError } from '../src/cli/main.js'
import type { AttemptOptions } from './boot-attempt.js'
import { consoleLines } from './console-log.js'
import { findings } from './kernel-findings.js'
import { machineFiles } from './machine-directory.js'
import { saveState } from './migration.js'
import type { SnapshotDraft } from './snapshot-store.js'

const REHEARSAL_LIMIT_MS = 20_000
const SAVE_LIMIT_MS = 30_000

/** For speed alone: it may fail. */
export async function rehearse({ state, options }: AttemptOptions, over: AbortSignal): Promise<void> {
  const signal = AbortSignal.any([over, AbortSignal.timeout(REHEARSAL_LIMIT_MS)])
  try {
    await options.rehearse?.(state.name, signal)
  } catch (error) {
    options.onDetail?.(`a rehearsal failed: ${describeError(error)}`)
  }
}

/** False where that fails, which is told: the machine then goes on. */
export async function keepGuest(
  { directory, options }: AttemptOptions,
  draft: SnapshotDraft,
): Promise<boolean> {
  const files = machineFiles(directory)
  const signals = [AbortSignal.timeout(SAVE_LIMIT_MS), ...(options.signal ? [options.signal] : [])]
  try {
    const found = findings(consoleLines(files.console))[0]
    if (found !== undefined) throw new Error(`its kernel has complained: ${found.text}`)
    const written = (state: Buffer) => draft.write(state, readFileSync(files.console))
    await saveState(files, AbortSignal.any(signals), written)
    return true
  } catch (error) {
    options.signal?.throwIfAborted()
    options.onMessage?.(`no snapshot is made of this machine: ${describeError(error)}`)
    return false
  }
}
