// How a machine starts that may go on from a snapshot: from one that is there; or, booted, it becomes one, and then goes on
// from that; or it is booted, whenever anything is in the way. What that was is told.

import { describeError } from '../src/cli/main.js'
import type { Attempt, AttemptOptions } from './boot-attempt.js'
import { endMachine } from './machine-directory.js'
import { reasonAgainstSnapshot, snapshotKey } from './snapshot-key.js'
import { findSnapshot, removeSnapshot, type Snapshot, SnapshotDraft } from './snapshot-store.js'

export interface Start extends Attempt {
  readonly bootMs: number
  readonly isRestored: boolean
}

/** Starts a machine by one attempt or several, from the snapshot or into the draft that the options name. */
type Boot = (options: AttemptOptions) => Promise<Start>

/** A guest that goes on at all does so at once. */
const RESTORE_LIMIT_MS = 20_000

/** Throws as `boot` does. */
export async function startWarm(base: AttemptOptions, boot: Boot): Promise<Start> {
  const { options, settings } = base
  if (options.snapshot !== 'auto') return boot(base)
  const against = reasonAgainstSnapshot(settings, options)
  if (against !== undefined) {
    options.onDetail?.(`without a snapshot: ${against}`)
    return boot(base)
  }
  const key = await snapshotKey(base)
  const found = await findSnapshot(key, () => options.onMessage?.('a damaged snapshot is removed'))
  const restored = found && (await restore(base, found, boot))
  if (restored !== undefined) return restored
  const draft = await beginDraft(base, key)
  if (draft === undefined) return boot(base)
  try {
    return await bootInto(base, draft, boot)
  } finally {
    await draft.discard()
  }
}

/** Undefined where it does not come up: then the snapshot, whose fault that may be, is gone. */
async function restore(base: AttemptOptions, snapshot: Snapshot, boot: Boot): Promise<Start | undefined> {
  const { options, settings } = base
  const timeoutMs = Math.min(settings.timeoutMs, RESTORE_LIMIT_MS)
  try {
    return await boot({ ...base, settings: { ...settings, timeoutMs }, snapshot })
  } catch (error) {
    options.signal?.throwIfAborted()
    await endMachine(base.directory)
    await removeSnapshot(snapshot)
    options.onMessage?.(`booting, since the snapshot cannot be used: ${describeError(error)}`)
    return undefined
  }
}

async function beginDraft({ options, settings }: AttemptOptions, key: string) {
  try {
    const draft = await SnapshotDraft.begin(key, settings.memoryMiB)
    if (draft === undefined) options.onDetail?.('without a snapshot: it is just being made by somebody else')
    return draft
  } catch (error) {
    options.onDetail?.(`without a snapshot: ${describeError(error)}`)
    return undefined
  }
}

/** A machine that is kept goes on as its own first copy: its memory is the snapshot's. */
async function bootInto(base: AttemptOptions, draft: SnapshotDraft, boot: Boot): Promise<Start> {
  const { options } = base
  const booted = await boot({ ...base, draft })
  if (!booted.isKept) return booted
  const start = performance.now()
  await endMachine(base.directory)
  try {
    const snapshot = await draft.publish()
    options.onStage?.('snapshot', performance.now() - start)
    const restored = await restore(base, snapshot, boot)
    if (restored !== undefined) return restored
  } catch (error) {
    options.signal?.throwIfAborted()
    options.onMessage?.(`no snapshot is kept: ${describeError(error)}`)
  }
  return boot(base)
}
