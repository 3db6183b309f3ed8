import { readText } from './read-text.js'

/** As `uname -r` has it. What Node itself says would be that of where the start-up snapshot was made. */
export function kernelRelease(): string {
  return readText('/proc/sys/kernel/osrelease').trim()
}
