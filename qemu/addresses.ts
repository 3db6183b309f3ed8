// Numbers that a machine needs for itself on its host: a CID, which is reserved before QEMU starts, and a TCP port, which
// cannot be: a caller whose QEMU finds it taken asks for another.

import { closeSync, openSync } from 'node:fs'
import { createServer } from 'node:net'
import { localCid, setGuestCid } from '../src/native/vsock.js'
import { VSOCK_DEVICE } from './device-access.js'
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

/** The machine's as long as the descriptor is open anywhere: here, and then in QEMU. */
export interface ReservedCid extends Disposable {
  readonly cid: number
  /** Of /dev/vhost-vsock, to be handed to QEMU. */
  readonly fd: number
}

/** The first CID that is free on this host, whoever else asks at the same moment. Throws a system error. */
export function reserveCid(): ReservedCid {
  const fd = openSync(VSOCK_DEVICE, 'r+')
  const close = () => closeSync(fd)
  try {
    let cid = freeCid()
    while (!setGuestCid(fd, cid)) cid = freeCid(cid + 1)
    return { cid, fd, [Symbol.dispose]: close }
  } catch (error) {
    close()
    throw error
  }
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
