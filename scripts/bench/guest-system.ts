// A small system in the guest's own root, which is memory: programs in it are the same for whatever is measured, and
// dropped caches do not touch them. Called by guest-host.ts and session-table.ts.
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Machine } from '../../qemu/index.js'
import { runCpu } from './guest-session.js'

/** Where it lies in the guest. */
export const SYSTEM = '/tools'
/** Where it comes from, in a directory that is shared with the guest by virtiofs. */
export const SHARED_SYSTEM = '.system'

/** Copies it there from the share. `directory` is for a file of ours. */
export async function installSystem(machine: Machine, tag: string, directory: string): Promise<void> {
  const fstab = path.join(directory, 'fstab-install')
  writeFileSync(fstab, `${tag} /mnt virtiofs ro 0 0\n${systemFstab(`/mnt/${SHARED_SYSTEM}`)}`)
  const script = `cp -r /mnt/${SHARED_SYSTEM} /tmp/local${SYSTEM}`
  await runCpu([
    '-9p=false',
    '-fstab',
    fstab,
    machine.name,
    '/usr/bin/bash',
    '-c',
    `PATH=/usr/bin; ${script}`,
  ])
}

/** Binds that put it in the place of the guest's own, in a session. */
export function systemFstab(system: string = SYSTEM): string {
  const places = { '/usr': '/usr', '/usr/bin': '/bin', '/usr/lib': '/lib', '/usr/lib64': '/lib64' }
  return Object.entries(places)
    .map(([from, to]) => `${system}${from} ${to} none bind 0 0\n`)
    .join('')
}
