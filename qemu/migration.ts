// The state of a machine's processor and devices, out of one QEMU and into another, by QEMU's migration through a unix
// socket of ours. Memory is not in it: it lies in a file that both map (capability x-ignore-shared).

import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { CpuError } from '../src/errors.js'
import { Qmp } from './qmp.js'

/** Of a machine whose QEMU runs. */
export interface MigrationSockets {
  /** Where QEMU takes commands. */
  readonly monitor: string
  /** Where the state goes through; made, and removed. */
  readonly migration: string
}

/**
 * Stops the machine and hands its state to `keep`. Throws CpuError ERR_CPU_VM_QMP, and what `keep` throws; the machine then
 * goes on.
 */
export async function saveState(
  sockets: MigrationSockets,
  signal: AbortSignal,
  keep: (state: Buffer) => Promise<void>,
): Promise<void> {
  using qmp = await Qmp.open(sockets.monitor, signal)
  const server = createServer({ allowHalfOpen: true })
  try {
    await once(server.listen(sockets.migration), 'listening')
    await qmp.execute('stop')
    const state = once(server, 'connection', { signal }).then(([stream]) => buffer(stream))
    state.catch(() => undefined)
    await migrate(qmp, 'migrate', sockets)
    await keep(await state)
  } catch (error) {
    await qmp.execute('cont').catch(() => undefined)
    throw error
  } finally {
    server.close()
    rmSync(sockets.migration, { force: true })
  }
}

/** Of a machine that was started with `-incoming defer`: lets it go on from there. Throws CpuError ERR_CPU_VM_QMP. */
export async function loadState(
  sockets: MigrationSockets,
  state: Buffer,
  signal: AbortSignal,
): Promise<void> {
  using qmp = await Qmp.open(sockets.monitor, signal)
  try {
    await migrate(qmp, 'migrate-incoming', sockets, () => {
      const stream = connect(sockets.migration)
      // Told by QEMU, which gets no whole state.
      stream.on('error', () => undefined)
      stream.end(state)
    })
    await qmp.execute('cont')
  } finally {
    rmSync(sockets.migration, { force: true })
  }
}

async function migrate(
  qmp: Qmp,
  command: 'migrate' | 'migrate-incoming',
  { migration }: MigrationSockets,
  begun: () => void = () => undefined,
): Promise<void> {
  const capabilities = ['x-ignore-shared', 'events'].map(capability => ({ capability, state: true }))
  await qmp.execute('migrate-set-capabilities', { capabilities })
  const end = qmp.event('MIGRATION', ({ status }) => status === 'completed' || status === 'failed')
  end.catch(() => undefined)
  await qmp.execute(command, { uri: `unix:${migration}` })
  begun()
  const { status } = await end
  if (status === 'completed') return
  const { 'error-desc': reason = 'it does not say why' } = (await qmp.execute('query-migrate')) as Record<
    string,
    string
  >
  throw new CpuError('ERR_CPU_VM_QMP', `QEMU failed at ${command}: ${reason}`)
}
