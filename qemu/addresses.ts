// Numbers that a machine needs for itself on its host: a CID and a TCP port. Neither can be reserved ahead, so
// a caller whose QEMU finds the number taken asks for the next.

import { createServer } from 'node:net'
import { localCid } from '../src/native/vsock.js'
import { listMachines } from './machine-directory.js'

/** 0 to 2 have meanings of their own. */
const FIRST_CID = 3

/** The first CID from `from` on that no machine of ours has, and that is not this machine's own. */
export function freeCid(from: number = FIRST_CID): number {
  const taken = new Set<number | undefined>(listMachines().map(({ state }) => state.cid))
  // A guest that connects to its own CID reaches itself, whatever a guest of its own is called.
  taken.add(localCid())
  let cid = from
  while (taken.has(cid)) cid++
  return cid
}

/** A TCP port that was free on 127.0.0.1 a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  await new Promise(resolve => server.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('a TCP server has no port')
  return address.port
}
