// What this process may do beyond its user's rights: capabilities(7). Used by fs/local-tree.ts and by cpud.
import { readText } from './read-text.js'

/** linux/capability.h */
export const capability = { dacOverride: 1n, sysAdmin: 21n } as const

/** Where there is no procfs to tell, as before PID 1 has mounted it, root is. */
export function isCapable(wanted: bigint): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readText('/proc/self/status'))?.[1]
  if (effective === undefined) return process.geteuid?.() === 0
  return ((BigInt(`0x${effective}`) >> wanted) & 1n) === 1n
}

/** Whether that holds for files of every owner: in a user namespace it does for those of its own users only. */
export function isAmongAllUsers(): boolean {
  return /^\s*0\s+0\s+4294967295\s*$/.test(readText('/proc/self/uid_map'))
}
